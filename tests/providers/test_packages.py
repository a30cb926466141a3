"""Recurrent layers in the runtimes that are Python packages, in both forms: see docs/internals/providers.md."""

from __future__ import annotations

from pathlib import Path

import pytest
from rnn_export import UnavailableError
from rnn_export.lowering.forms import FORMS
from rnn_export.pytorch.samples import NON_FINITE
from rnn_export.runtimes.programs.packages import PACKAGES
from rnn_export.spec.forms import Form

from providers.matrix import LAYERS, Record, verified

pytestmark = pytest.mark.skipif(
    not all(package.version for package in PACKAGES.values()),
    reason="openvino and tract are not both installed: make test-packages",
)


def refused(runtime: str, kind: str, bidirectional: bool, form: Form) -> str:
    """What the runtime says of a form that it does not take."""
    if runtime == "tract" and form == "native":
        return "its process ended with SIGABRT: .*UndeterminedSymbol"
    if runtime == "onnx.reference" and form == "scan" and bidirectional:
        return "Scan is not implemented for other output input_direction than 0"
    if runtime == "onnx.reference" and form == "native" and kind == "rnn_relu":
        return "Unknown activation function 'Relu'"
    return ""


@pytest.mark.parametrize("runtime", PACKAGES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("kind", "layers", "bidirectional"), LAYERS)
def test_both_forms(
    kind: str, layers: int, bidirectional: bool, form: Form, runtime: str, tmp_path: Path, record_property: Record
) -> None:
    def report() -> None:
        architecture = (kind, layers, bidirectional)
        found = verified(runtime, "portable", architecture, tmp_path / "out", record_property, lowering=form)
        assert found.passed, found.failure
        assert all(result.verdict == "PASS" for result in found.cases if result.case.values not in NON_FINITE)

    said = refused(runtime, kind, bidirectional, form)
    if said:
        with pytest.raises(UnavailableError, match=f"does not load model.onnx: {said}"):
            report()
    else:
        report()
