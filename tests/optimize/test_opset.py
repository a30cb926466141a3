"""Every opset from the oldest to the newest: valid ONNX, runs, computes the same."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from conftest import SMALL
from rnn_export import CaptureError, InputError, Signature, export_onnx, load
from rnn_export.optimize.opset import NEWEST, OLDEST
from torch import Tensor, nn


@pytest.mark.parametrize("opset", range(OLDEST, NEWEST + 1))
@pytest.mark.parametrize("name", ["hetero", "initial_state", "scratch"])
def test_every_opset(name: str, opset: int, tmp_path: Path) -> None:
    loaded = load(name, **SMALL[name])
    exported = export_onnx(loaded.model, loaded.signature, tmp_path / "out", opset=opset)
    assert exported.report.passed
    model = onnx.load(tmp_path / "out" / "model.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]


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
