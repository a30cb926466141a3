"""What a model holds that cannot be copied is shared; its weights and submodules never are."""

from __future__ import annotations

import threading
from pathlib import Path

import torch
from rnn_export import Signature, export_onnx
from rnn_export.pytorch.copying import copied
from torch import Tensor, nn


class _Held(nn.Module):
    """A layer that holds a lock in itself, and in a submodule."""

    def __init__(self, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.rnn = inner or nn.GRU(3, 4)
        self.lock = threading.Lock()
        self.names = ["a"]

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            out: Tensor = self.rnn(x)[0] if isinstance(self.rnn, nn.GRU) else self.rnn(x)
            return out


def test_what_cannot_be_copied_is_shared_and_all_else_is_not() -> None:
    model = _Held(_Held())
    copy = copied(model)
    assert copy.lock is model.lock
    assert copy.rnn.lock is model.rnn.lock
    assert copy.rnn is not model.rnn
    assert copy.names is not model.names
    assert all(a is not b and torch.equal(a, b) for a, b in zip(copy.parameters(), model.parameters(), strict=True))


def test_what_is_to_take_the_place_of_an_object_does() -> None:
    model = _Held()
    given = nn.Parameter(torch.zeros(12, 3))
    assert copied(model, {id(model.rnn.weight_ih_l0): given}).rnn.weight_ih_l0 is given


def test_a_model_that_cannot_be_copied_as_it_is_has_a_float64_reference(tmp_path: Path) -> None:
    exported = export_onnx(_Held(), Signature({"x": "float32[T, N, 3]"}), tmp_path / "bundle")
    assert exported.report is not None
    assert exported.report.reference == "float64"
