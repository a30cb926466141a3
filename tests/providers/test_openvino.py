"""Recurrent layers on ONNX Runtime's OpenVINO provider, in both forms, and which of their nodes run there."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
from rnn_export.lowering.forms import FORMS
from rnn_export.pytorch.samples import NON_FINITE
from rnn_export.spec.forms import Form

from providers.matrix import LAYERS, Record, heavy_elsewhere, verified

pytestmark = pytest.mark.skipif(
    "OpenVINOExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="this ONNX Runtime has no OpenVINO: make test-openvino-ep",
)
# One layer alone it leaves to the CPU, in one direction and in both; ONNX Runtime says nothing.
DECLINED = ("lstm", 1, "native")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("kind", "layers", "bidirectional"), LAYERS)
def test_both_forms(
    kind: str, layers: int, bidirectional: bool, form: Form, tmp_path: Path, record_property: Record
) -> None:
    architecture = (kind, layers, bidirectional)
    report = verified(
        "onnxruntime:openvino", "openvino", architecture, tmp_path / "out", record_property, lowering=form
    )
    assert report.right, report.failure
    assert all(result.verdict == "PASS" for result in report.cases if result.case.values not in NON_FINITE)
    assert heavy_elsewhere(report) == (["LSTM"] if (kind, layers, form) == DECLINED else [])
