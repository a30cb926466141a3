"""Every form is exported as it stands, and computes what PyTorch computes."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from rnn_export import Signature, export_onnx

from . import around, habits, weights, wrapped  # noqa: F401
from .form import FORMS, Form


# PyTorch's own words on torch.jit and on the old weight norm, which people use all the same.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("form", FORMS, ids=[form.name for form in FORMS])
def test_form(form: Form, tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = export_onnx(form.make(), Signature(form.inputs, states=form.states), tmp_path / "out")
    assert exported.report is not None
    assert exported.report.passed
    known = {result.case.values for result in exported.report.cases if result.verdict == "KNOWN"}
    assert known <= {"infinite", "nan"}
    graph = onnx.load(tmp_path / "out" / "model.onnx").graph
    assert {value.name: dims(value) for value in graph.input} == {
        name: [*spec.shape] for name, spec in Signature(form.inputs).inputs.items()
    }
    assert {"RNN", "GRU", "LSTM", "Scan"} & {node.op_type for node in graph.node}


def dims(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
