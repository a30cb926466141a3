"""Every opset that can be exported has an oldest ONNX Runtime, and a newer opset has none that is older."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
from rnn_export import export_onnx
from rnn_export.bundle.programs.oldest_runtime import OLDEST_ONNX_RUNTIME
from rnn_export.optimize.opset import NEWEST, OLDEST
from rnn_export.publish.inspect import inspect
from rnn_export.spec.forms import Lowering
from torch import nn


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:2]))


def test_every_opset_has_one() -> None:
    assert [*OLDEST_ONNX_RUNTIME] == [*range(OLDEST, NEWEST + 1)]


def test_newer_opsets_need_no_older_one() -> None:
    versions = [number(version) for version in OLDEST_ONNX_RUNTIME.values()]
    assert versions == sorted(versions)
    assert versions[-1] <= number(onnxruntime.__version__)


@pytest.mark.parametrize(("lowering", "oldest"), [("contrib", "1.25"), ("native", "1.15")])
def test_operators_of_onnx_runtime_are_named_and_came_with_a_version(
    lowering: Lowering, oldest: str, tmp_path: Path
) -> None:
    model = nn.Sequential(nn.ConstantPad1d((2, 0), 0.0), nn.Conv1d(3, 3, 3, groups=3))
    options = {"opset": 18, "stateful": True, "verify": False}
    exported = export_onnx(model, {"x": "float32[N, 3, T]"}, tmp_path / "bundle", lowering=lowering, **options)
    page, is_own = (exported.folder / "README.md").read_text(), lowering == "contrib"
    assert f"ONNX Runtime {oldest} or newer loads it (opset 18)." in page
    assert ("No other runtime is known to" in page) == is_own
    (inspection,) = inspect(exported.folder)
    assert inspection.own_operators == (["CausalConvWithState"] if is_own else [])
