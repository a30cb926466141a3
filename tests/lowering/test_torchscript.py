"""TorchScript: scripted, traced, frozen; a trace that baked in a size is found out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rnn_export import CaptureError, FixedDecisionError, ParityError, Signature, export_torchscript, read_bundle
from rnn_export.lowering.trace_decisions import TraceDecisions, recording_decisions
from rnn_export.parity import probe
from rnn_export.pytorch.archive import read_torchscript
from rnn_export.torch_internals.modules import TracerWarning
from torch import Tensor, nn

X = Signature({"x": "float32[T, N, 3]"})


class Loop(nn.Module):
    """A loop over time; a trace of it holds as many steps as the example had."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.size(1), 4)
        for step in x:
            h = self.cell(step, h)
        return h


class Untyped(nn.Module):
    """Cannot be scripted: generator expressions are not TorchScript."""

    def forward(self, x: Tensor) -> Tensor:
        return sum(part for part in (x, x))


def test_auto_scripts(tmp_path: Path) -> None:
    exported = export_torchscript(Loop(), X, tmp_path / "out")
    assert exported.report.passed
    assert exported.notes == ()
    assert not list(read_torchscript(tmp_path / "out" / "model.pt").parameters())


def test_auto_traces_what_cannot_be_scripted_and_says_so(tmp_path: Path) -> None:
    exported = export_torchscript(Untyped(), X, tmp_path / "out")
    assert exported.report.passed
    assert exported.notes[0].startswith("Traced, not scripted. TorchScript cannot compile the model (")
    with pytest.raises(CaptureError, match='Trace it instead \\(`method="trace"`\\)'):
        export_torchscript(Untyped(), X, tmp_path / "other", method="script")


def test_a_trace_that_baked_in_a_size_is_reported_as_that(tmp_path: Path) -> None:
    with pytest.raises(ParityError) as error:
        export_torchscript(Loop(), X, tmp_path / "out", method="trace")
    assert "It is right only at T=7: the capture baked that size in." in str(error.value)
    assert not (tmp_path / "out").exists()


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.size(0) > 50 else x


class Optional(nn.Module):
    """Scripts, but cannot be saved: an undefined tensor is frozen into it."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, x, h0=None):
        y, h = self.rnn(x, h0)
        return y, h


class Guarded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0 if bool(x.min() < -1e6) else x


class Asserting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        assert x.size(-1) == 3
        if x.dim() != 3 or x.size(2) > 3:
            raise ValueError("x is [T, N, 3]")
        return x * torch.tensor([1.0, 2.0, 3.0])


class Short(nn.Module):
    """Refuses what the trace of it does not."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.size(0) <= 612, "too long"
        return x * 2


DECIDING: dict[str, Callable[[Tensor], Tensor]] = {
    "if": lambda x: x * 0 if x.min() < -1e6 else x,
    "item": lambda x: x * 2 if x.min().item() > 1e6 else x,
    "tolist": lambda x: x * 2 if x[0, 0].tolist()[0] > 1e6 else x,
    "numpy": lambda x: x * 2 if float(np.asarray(x)[0, 0, 0]) > 1e6 else x,
    "elements": lambda x: x * 2 if x.numel() > 10**7 else x,
    "length": lambda x: x * max(len(x), 10**6),
    "number": lambda x: x * max(int(x.size(0)), 10**6),
}


class Deciding(nn.Module):
    def __init__(self, decide: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.decide = decide

    def forward(self, x: Tensor) -> Tensor:
        return self.decide(x)


@pytest.mark.parametrize("decide", DECIDING.values(), ids=DECIDING)
def test_a_decision_that_a_trace_fixed_fails_unless_it_is_accepted(
    decide: Callable[[Tensor], Tensor], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(
        FixedDecisionError, match=r"at \S*test_torchscript.py:\d+: .*`accept=\[\"fixed-decision\"\]`"
    ) as error:
        export_torchscript(Deciding(decide), X, out, method="trace")
    assert error.value.exit_code == 1
    assert not out.exists()
    exported = export_torchscript(Deciding(decide), X, out, method="trace", accept=["fixed-decision"])
    assert any(note.startswith("Tracing fixed a decision") for note in exported.notes)
    assert read_bundle(out).artifacts["model.pt"].accepted == ("fixed-decision",)


def test_a_trace_that_follows_a_failed_script_says_why(tmp_path: Path) -> None:
    with pytest.raises(FixedDecisionError, match="TorchScript cannot compile the model"):
        export_torchscript(Deciding(DECIDING["numpy"]), X, tmp_path / "out")


def test_a_check_that_a_trace_leaves_out_is_noted(tmp_path: Path) -> None:
    notes = export_torchscript(Asserting(), X, tmp_path / "out", method="trace").notes
    assert [note.startswith("The trace leaves out the check at ") for note in notes] == [True, True]


def test_a_check_that_refuses_some_size_may_not_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "BUDGET", 20.0)
    with pytest.raises(FixedDecisionError, match=r"left out the check at .*: PyTorch refuses case ordinary-T\d+-N\d"):
        export_torchscript(Short(), X, tmp_path / "out", method="trace")
    assert export_torchscript(Short(), X, tmp_path / "out", method="script").report.passed


def test_code_beside_torch_is_not_taken_for_its_own() -> None:
    folder = Path(torch.__file__).parent
    beside = f"{folder}audio/models/tacotron2.py"
    with recording_decisions() as decisions:
        for file in (beside, str(folder / "nn" / "functional.py")):
            warnings.warn_explicit("Converting a tensor to a Python boolean", TracerWarning, file, 12)
    assert decisions() == TraceDecisions((f"{beside}:12",))


def test_a_size_that_is_not_baked_is_not_blamed(tmp_path: Path) -> None:
    with pytest.raises(ParityError) as error:
        export_torchscript(Branch(), X, tmp_path / "out", method="trace")
    assert "baked" not in str(error.value)


@pytest.mark.parametrize("model", [nn.GRU(3, 4), nn.LSTM(3, 4), Optional()])
def test_what_cannot_be_frozen_or_saved_is_traced(model: nn.Module, tmp_path: Path) -> None:
    exported = export_torchscript(model, X, tmp_path / "out")
    assert exported.report.passed
    assert exported.notes[0].startswith("Traced, not scripted.")


def test_a_model_that_cannot_be_traced(tmp_path: Path) -> None:
    class Strings(nn.Module):
        def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
            if torch.jit.is_tracing():
                raise RuntimeError("not while tracing")
            return x

    with pytest.raises(CaptureError, match="TorchScript cannot trace the model \\(not while tracing\\)"):
        export_torchscript(Strings(), X, tmp_path / "out", method="trace")


def test_a_model_that_can_neither_be_scripted_nor_traced(tmp_path: Path) -> None:
    class Neither(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if torch.jit.is_tracing():
                raise RuntimeError("not while tracing")
            return sum(part for part in (x, x))

    with pytest.raises(CaptureError, match="neither compile nor trace the model \\(.*; not while tracing\\)"):
        export_torchscript(Neither(), X, tmp_path / "out")
