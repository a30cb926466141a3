"""Every opset that can be exported has an oldest ONNX Runtime, and a newer opset has none that is older."""

from __future__ import annotations

import onnxruntime
from rnn_export.bundle.programs.oldest_runtime import OLDEST_ONNX_RUNTIME
from rnn_export.optimize.opset import NEWEST, OLDEST


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:2]))


def test_every_opset_has_one() -> None:
    assert [*OLDEST_ONNX_RUNTIME] == [*range(OLDEST, NEWEST + 1)]


def test_newer_opsets_need_no_older_one() -> None:
    versions = [number(version) for version in OLDEST_ONNX_RUNTIME.values()]
    assert versions == sorted(versions)
    assert versions[-1] <= number(onnxruntime.__version__)
