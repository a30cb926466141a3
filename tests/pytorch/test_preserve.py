"""What a forward writes to its model is undone: attributes, lists, buffers; a state that is carried is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rnn_export import CaptureError, ParityError, Signature, export_onnx, export_torchscript
from rnn_export.pytorch import run
from rnn_export.pytorch.run import preserve_module_state, run_eager
from torch import Tensor, nn


class Writes(nn.Module):
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)
        self.register_buffer("count", torch.zeros(()))
        self.seen: list[Tensor] = []
        self.named: dict[str, Tensor] = {}
        self.hidden: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y, self.hidden = self.rnn(x, self.hidden)
        self.count += 1
        self.seen.append(y)
        self.named["y"] = y
        self.new = y
        return y


def test_everything_is_undone() -> None:
    model = Writes()
    seen = model.seen
    with preserve_module_state(model):
        model(torch.ones(2, 2, 3))
        assert model.count == 1
        assert model.hidden is not None
    assert model.count == 0
    assert model.hidden is None
    assert model.seen is seen
    assert model.seen == []
    assert model.named == {}
    assert not hasattr(model, "new")


class Counts(Writes):
    def forward(self, x: Tensor) -> Tensor:
        super().forward(x)
        return self.count


def test_what_a_call_returned_is_not_undone() -> None:
    assert run_eager(Counts(), {"x": torch.ones(2, 2, 3)}) == 1


def test_an_export_starts_from_the_model_as_it_is_leaves_it_so_and_says_that_it_keeps_a_state(tmp_path: Path) -> None:
    model = Writes()
    exported = export_onnx(model, Signature({"x": "float32[T, N, 3]"}), tmp_path / "out")
    assert exported.report is not None
    assert exported.report.passed
    assert exported.notes[0].startswith("The model keeps a state from call to call, which an exported one does not")
    assert model.hidden is None
    assert model.seen == []
    assert model.count == 0


class Writing(nn.Module):
    """Writes to its table of vectors when it is called: in the way that is named, or by `max_norm`."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        bound = 0.5 if way.startswith("max_norm") else None
        self.way = way
        kind = nn.EmbeddingBag if way == "max_norm bag" else nn.Embedding
        self.table = kind(9, 4, max_norm=bound)
        self.rnn = nn.GRU(4, 3, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        if self.way == "data":
            self.table.weight.data.clamp_(-0.5, 0.5)
        elif self.way == "no_grad":
            with torch.no_grad():
                self.table.weight.clamp_(-0.5, 0.5)
        if self.way == "max_norm bag":
            return self.rnn(self.table(tokens.reshape(-1, 1)).reshape(*tokens.shape, 4))[0]
        return self.rnn(self.table(tokens))[0]


WAYS = ["max_norm", "max_norm bag", "data", "no_grad"]
TOKENS = Signature({"tokens": "int64[N, T] in 0..8"})


@pytest.mark.parametrize("way", WAYS)
def test_parameters_that_forward_writes_to_are_restored(way: str) -> None:
    model = Writing(way).eval()
    before = model.table.weight.detach().clone()
    once = run_eager(model, {"tokens": torch.arange(9)[None]})
    assert torch.equal(model.table.weight, before)
    assert torch.equal(run_eager(model, {"tokens": torch.arange(9)[None]}), once)
    model(torch.arange(9)[None])
    assert not torch.equal(model.table.weight, before), "or else this shows nothing"


def test_of_a_large_model_what_max_norm_bounds_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_COPIED", 10)
    model = Writing("max_norm").eval()
    before = model.table.weight.detach().clone()
    run_eager(model, {"tokens": torch.arange(9)[None]})
    assert torch.equal(model.table.weight, before)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", [None, {"method": "script"}, {"method": "trace"}])
def test_an_export_leaves_parameters_alone(way: str, options: dict[str, str] | None, tmp_path: Path) -> None:
    model = Writing(way)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        if options is None:
            export_onnx(model, TOKENS, tmp_path / "out")
        else:
            export_torchscript(model, TOKENS, tmp_path / "out", **options)
    except (ParityError, CaptureError):
        assert options is not None
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
