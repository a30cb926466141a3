"""Every form is exported as it stands, and computes what PyTorch computes."""

from __future__ import annotations

from pathlib import Path

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
