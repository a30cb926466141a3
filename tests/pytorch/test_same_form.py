"""What TorchScript is taken back to has to compute the same, at sizes that nothing was captured at too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from rnn_export import LoadError, Signature, export_onnx
from rnn_export.pytorch.job import start_job
from rnn_export.pytorch.request import ExportRequest, silent
from rnn_export.pytorch.run import suppress_output
from rnn_export.pytorch.same_form import check_form
from torch import Tensor, nn

SIGNATURE = Signature({"x": "float32[T, N, 3]"})


class InPythonAlone(nn.Module):
    """Another computation in Python than in TorchScript, from nine steps on or at every size."""

    def __init__(self, longest: int) -> None:
        super().__init__()
        self.longest = longest

    def forward(self, x: Tensor) -> Tensor:
        if torch.jit.is_scripting() and x.size(0) > self.longest:
            return x * 2
        return x + 0.5


def scripted(longest: int) -> torch.jit.ScriptModule:
    with suppress_output():
        return torch.jit.script(InPythonAlone(longest).eval())


@pytest.mark.parametrize(("longest", "at"), [(0, "T=7, N=5"), (8, "T=33, N=33")])
def test_another_computation_is_found(longest: int, at: str) -> None:
    request = ExportRequest(InPythonAlone(longest), SIGNATURE)
    with (
        start_job(request, precision=None, seed=0, progress=silent) as job,
        pytest.raises(LoadError, match=f"computes something else than InPythonAlone in Python does.* at {at}"),
    ):
        check_form(scripted(longest), job)


def test_the_code_inside_is_exported_where_the_class_computes_something_else(tmp_path: Path) -> None:
    exported = export_onnx(scripted(0), SIGNATURE, tmp_path / "out")
    assert exported.report is not None
    assert exported.report.passed
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    assert (session.run(None, {"x": np.ones((4, 2, 3), np.float32)})[0] == 2).all()


class Counting(nn.Module):
    """A state that TorchScript keeps from call to call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


def test_a_state_is_left_as_it_was(tmp_path: Path) -> None:
    with suppress_output():
        counting = torch.jit.script(Counting())
    exported = export_onnx(counting, SIGNATURE, tmp_path / "out")
    assert any("keeps a state" in note for note in exported.notes)
    assert counting.calls == 0
