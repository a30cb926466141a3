"""Every opset from the oldest to the newest: valid ONNX, runs, computes the same."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from conftest import SMALL
from pipeline import Translated, translated, written
from rnn_export import CaptureError, InputError, Signature, export_onnx, load
from rnn_export.optimize.opset import NEWEST, OLDEST
from rnn_export.pytorch.samples import Case
from rnn_export.spec.forms import Lowering
from torch import Tensor, nn


@pytest.fixture(scope="module", params=["hetero", "initial_state", "scratch"])
def given(request: pytest.FixtureRequest) -> Translated:
    loaded = load(request.param, **SMALL[request.param])
    sizes = ({"T": 7, "N": 5}, {"T": 1, "N": 1}, {"T": 12, "N": 2})
    return translated(loaded.model, loaded.signature, [Case(each, "ordinary", 0) for each in sizes])


@pytest.mark.parametrize("opset", range(OLDEST, NEWEST + 1))
@pytest.mark.parametrize("lowering", ["native", "scan"])
def test_every_opset(lowering: Lowering, opset: int, given: Translated, tmp_path: Path) -> None:
    model = written(given, lowering, tmp_path / "model.onnx", opset)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("opset", [OLDEST, NEWEST])
def test_an_export_has_the_opset_that_it_is_asked_for(opset: int, tmp_path: Path) -> None:
    loaded = load("single", **SMALL["single"])
    exported = export_onnx(loaded.model, loaded.signature, tmp_path / "out", opset=opset)
    assert exported.report.passed
    assert [entry.version for entry in onnx.load(tmp_path / "out" / "model.onnx").opset_import] == [opset]


class Sampled(nn.Module):
    """GridSample, whose mode "bilinear" is "linear" from opset 20 on."""

    def forward(self, x: Tensor, grid: Tensor) -> Tensor:
        return nn.functional.grid_sample(x, grid, align_corners=False)


@pytest.mark.parametrize(("opset", "mode"), [(18, b"bilinear"), (20, b"linear"), (NEWEST, b"linear")])
def test_what_is_called_otherwise_in_a_newer_opset_is_renamed(opset: int, mode: bytes, tmp_path: Path) -> None:
    signature = Signature({"x": "float32[N, 3, T, 4]", "grid": "float32[N, 5, 6, 2]"})
    assert export_onnx(Sampled(), signature, tmp_path / "out", opset=opset).report.passed
    (node,) = [node for node in onnx.load(tmp_path / "out" / "model.onnx").graph.node if node.op_type == "GridSample"]
    assert {attribute.name: attribute.s for attribute in node.attribute}["mode"] == mode


@pytest.mark.parametrize("opset", [-1, 0, OLDEST - 1, NEWEST + 1])
def test_another_is_refused(opset: int, tmp_path: Path) -> None:
    loaded = load("single")
    with pytest.raises(InputError, match=f"Opset {opset} is not supported. Use one from {OLDEST} to {NEWEST}"):
        export_onnx(loaded.model, loaded.signature, tmp_path / "out", opset=opset)


class Reduced(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.amax(0) + x.mean(0) + torch.norm(x, dim=0)


class NewIn18(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.mish(x) + torch.bitwise_and(x.to(torch.int64), 3)


def test_what_changed_after_17_is_rewritten_or_refused(tmp_path: Path) -> None:
    signature = Signature({"x": "float32[T, N, 3]"})
    assert export_onnx(Reduced(), signature, tmp_path / "out", opset=17).report.passed
    with pytest.raises(CaptureError, match="has no form at opset 17. Use opset 18, the default."):
        export_onnx(NewIn18(), signature, tmp_path / "out", opset=17)
