"""What a forward writes to its model is undone: attributes, lists, buffers; a state that is carried is said."""

from __future__ import annotations

from pathlib import Path

import torch
from rnn_export import Signature, export_onnx
from rnn_export.pytorch.run import preserve_module_state
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


def test_an_export_starts_from_the_model_as_it_is_leaves_it_so_and_says_that_it_keeps_a_state(tmp_path: Path) -> None:
    model = Writes()
    exported = export_onnx(model, Signature({"x": "float32[T, N, 3]"}), tmp_path / "out")
    assert exported.report is not None
    assert exported.report.passed
    assert exported.notes[0].startswith("The model keeps a state from call to call, which an exported one does not")
    assert model.hidden is None
    assert model.seen == []
    assert model.count == 0
