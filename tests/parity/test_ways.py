"""Tests for parity.ways and parity.value_decisions: inputs that stop a loop early, late and at its limit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rnn_export import Signature, export_onnx, export_torchscript
from rnn_export.errors import ParityError
from rnn_export.parity import artifact
from rnn_export.parity.drawing import Drawing
from rnn_export.parity.value_decisions import decides_by_value
from rnn_export.parity.ways import draw_ways
from torch import Tensor, nn

ROWS = {"x": "float32[N, 4]"}


class Doubling(nn.Module):
    """Doubles until every row holds something above 1, at most 40 times; at `wrong` doublings it is off by one."""

    def __init__(self, wrong: int = -1) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, x: Tensor) -> Tensor:
        steps = 0
        while bool((x.abs().amax(1) < 1).any()) and steps < 40:
            x = torch.where(x.abs().amax(1, keepdim=True) < 1, x * 2, x)
            steps += 1
        return x + 1 if steps == self.wrong else x


class Halves(nn.Module):
    """Decides by a size."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] % 2 else x


def test_short_long_and_joined_batches() -> None:
    ways = draw_ways(Doubling().eval(), Drawing(Signature(ROWS, ["y"])), {"N": 6}, seed=0)
    short, long, joined = ways[0], ways[-2], ways[-1]
    assert short.way.operators < long.way.operators
    assert (joined.inputs["x"][::2] == short.inputs["x"][::2]).all()
    assert (joined.inputs["x"][1::2] == long.inputs["x"][1::2]).all()


def test_one_way_where_values_decide_nothing() -> None:
    ways = draw_ways(nn.Linear(4, 4).eval(), Drawing(Signature(ROWS, ["y"])), {"N": 6}, seed=0)
    assert len(ways) == 1


def test_a_loop_that_stops_on_values_is_tried_with_several_ways(tmp_path: Path) -> None:
    exported = export_onnx(Doubling(), ROWS, tmp_path / "b")
    assert decides_by_value(exported.model, {})
    assert exported.report is not None
    assert exported.report.probed is not None
    assert (exported.report.probed.ways or 0) > 2
    assert "ways were tried" in str(exported.report.probed)


@pytest.mark.parametrize("model", [Halves(), nn.GRU(4, 3, batch_first=True)])
def test_sizes_and_layers_decide_nothing_by_values(model: nn.Module, tmp_path: Path) -> None:
    inputs = ROWS if isinstance(model, Halves) else {"x": "float32[N, T, 4]"}
    exported = export_onnx(model, inputs, tmp_path / "b")
    assert not decides_by_value(exported.model, {})
    assert exported.report is not None
    assert exported.report.probed is not None
    assert exported.report.probed.ways is None


class Turning(nn.Module):
    """Turns about by what it keeps: the number of calls, or of those that were loud."""

    def __init__(self, by_values: bool) -> None:
        super().__init__()
        self.by_values = by_values
        self.count = 0

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cumsum(x, 1) if self.count > 2 else -x
        self.count = self.count + (x.sum() > 0) if self.by_values else self.count + 1
        return y


@pytest.mark.parametrize("by_values", [False, True])
def test_a_counter_of_calls_is_no_value(by_values: bool, tmp_path: Path) -> None:
    exported = export_onnx(Turning(by_values), {"x": "float32[N, 4]"}, tmp_path / "b", stateful=True)
    assert decides_by_value(exported.model, {"count0": "count_n"}) == by_values
    assert exported.report is not None
    assert exported.report.probed is not None
    assert ("decides by values" in str(exported.report.probed)) == by_values


def test_what_begins_a_stream_of_torchscript_is_no_decision(tmp_path: Path) -> None:
    exported = export_torchscript(nn.GRU(4, 3), {"x": "float32[T, N, 4]"}, tmp_path / "b", stateful=True)
    assert exported.report is not None
    assert exported.report.probed is not None
    assert exported.report.probed.ways is None


def test_a_file_that_is_wrong_after_some_number_of_steps_alone_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ordinary cases stop after none to two steps, zero and small ones at the limit: only other ways after five."""
    right = artifact.open_artifact
    wrong = export_onnx(Doubling(wrong=5), ROWS, tmp_path / "wrong", verify=False)

    def swapped(file: Path, *rest: object, **named: object) -> artifact.OpenArtifact:
        return right(wrong.model, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(artifact, "open_artifact", swapped)
    with pytest.raises(ParityError, match="off by 1"):
        export_onnx(Doubling(), ROWS, tmp_path / "b")
    monkeypatch.setattr(artifact.Prober, "ways", lambda self, sizes: [])
    assert export_onnx(Doubling(), ROWS, tmp_path / "b").report is not None
