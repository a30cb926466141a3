"""The variants: shapes, the relations their docstrings promise, and every cell to both formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from combinations import BOTH, each_value
from conftest import LOOPS, SMALL
from rnn_export import export_onnx, export_torchscript, load, verify
from rnn_export.models import VARIANTS

CELLS = ("rnn_tanh", "rnn_relu", "gru", "lstm")
LIBRARY = [name for name in SMALL if name not in LOOPS]


def test_the_registry_has_the_variants_in_the_order_of_the_documentation() -> None:
    assert list(VARIANTS) == list(SMALL)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_docstring_gives_shapes(name: str) -> None:
    assert "Shapes" in (VARIANTS[name].factory.__doc__ or "")


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_exports_to_both_formats(name: str, tmp_path: Path) -> None:
    check_both_formats(name, {}, tmp_path / name)


@each_value(name=LIBRARY, cell=CELLS, both_ways=BOTH)
def test_every_cell_exports_to_both_formats(name: str, cell: str, both_ways: bool, tmp_path: Path) -> None:
    way = {"bidirectional": True, "batch_first": True} if both_ways else {}
    check_both_formats(name, {"cell": cell, **way}, tmp_path / name)


def check_both_formats(name: str, options: dict[str, Any], out: Path) -> None:
    """Export, and verify the bundle afresh."""
    loaded = load(name, **SMALL[name], **options)
    assert export_onnx(loaded.model, loaded.signature, out, source=loaded.source).report.passed
    assert export_torchscript(loaded.model, loaded.signature, out, source=loaded.source, method="script").report.passed
    verification = verify(out, seed=11)
    assert verification.how == "rebuilt"
    assert [report.artifact for report in verification.reports] == ["model.onnx", "model.pt"]
    assert verification.passed


def test_scratch_returns_its_steps_one_after_the_other() -> None:
    model = load("scratch", num_hiddens=8).model
    tokens, h0 = torch.randint(0, 28, (2, 5)), torch.zeros(2, 8)
    logits, h_n = model(tokens, h0)
    first, _ = model(tokens[:, :1], h0)
    assert logits.shape == (10, 28)
    assert h_n.shape == (2, 8)
    torch.testing.assert_close(logits[:2], first)


def test_deep_ends_in_its_last_state() -> None:
    output, h_n = load("deep").model(torch.randn(3, 2, 10))
    assert torch.equal(output[-1], h_n[-1])


def test_initial_state_as_zeros_is_that_state_as_an_input() -> None:
    zeros = load("initial_state", **SMALL["initial_state"], initial="zeros")
    given = load("initial_state", **SMALL["initial_state"])
    assert list(zeros.signature.inputs) == ["x"]
    assert given.signature.states == {"h0": "h_n"}
    x = torch.randn(4, 2, 3)
    torch.testing.assert_close(zeros.model(x), given.model(x, torch.zeros(2, 2, 4)))


def test_hetero_needs_a_width() -> None:
    with pytest.raises(Exception, match="hidden_sizes needs at least one width"):
        load("hetero", hidden_sizes=())
