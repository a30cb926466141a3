"""Tensors that a model keeps in the memory of another are found, with the index that makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rnn_export import Stream, export_onnx
from rnn_export.errors import CaptureError
from rnn_export.pytorch.memory.places import Place
from rnn_export.pytorch.memory.shared_memory import View, lasting, views
from torch import Tensor, nn


@pytest.mark.parametrize("shape", [(5, 4), (5, 1), (1, 4), (2, 3, 4)])
@pytest.mark.parametrize(
    "make",
    [
        lambda whole: whole,
        lambda whole: whole[-1],
        lambda whole: whole[0],
        lambda whole: whole[:, -1],
        lambda whole: whole[1:],
        lambda whole: whole[:, :1],
        lambda whole: whole[-1:, 0],
    ],
)
def test_an_index_makes_the_same_piece(make: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> None:
    model = nn.Module()
    model.whole = torch.rand(shape)
    model.piece = make(model.whole)
    if not model.piece.numel():
        return
    found = views(model)
    (place,) = found
    kept = {"whole": model.whole, "piece": model.piece}
    made = found[place].of(kept[found[place].base.attribute])
    assert made.data_ptr() == kept[place.attribute].data_ptr()
    assert made.shape == kept[place.attribute].shape


def test_what_is_transposed_or_apart_is_no_piece() -> None:
    model = nn.Module()
    model.whole = torch.rand(3, 4)
    model.turned, model.apart = model.whole.T, model.whole.clone()
    assert views(model) == {}


def test_only_what_is_shared_at_every_moment_lasts() -> None:
    a, b = View(Place("", "x"), (0,)), View(Place("", "x"), (1,))
    one, other = Place("", "a"), Place("", "b")
    assert lasting([{one: a, other: a}, {one: a, other: b}]) == {one: a}


class Newest(nn.Module):
    """Shifts a buffer in place, and reads the newest through a view that it holds."""

    def __init__(self, rows: int = 3) -> None:
        super().__init__()
        self.rows = torch.zeros(rows, 4)
        self.newest = self.rows[-1]

    def forward(self, x: Tensor) -> Tensor:
        self.rows[:-1] = self.rows[1:].clone()
        self.newest.mul_(0.5).add_(x.mean(0))
        return x + self.rows.sum(0)


class Joined(nn.Module):
    """Two of its attributes become one tensor in the first call."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.zeros(4), torch.zeros(4)

    def forward(self, x: Tensor) -> Tensor:
        self.a.add_(x.mean(0))
        y = x + self.a + 2 * self.b
        self.b = self.a
        return y


@pytest.mark.parametrize(("make", "states"), [(Newest, ["rows0"]), (Joined, ["a0", "begun0"])])
def test_what_is_written_to_one_is_read_from_both(
    make: Callable[[], nn.Module], states: list[str], tmp_path: Path
) -> None:
    export_onnx(make(), "x: float32[N, 4]", tmp_path / "bundle", stateful=True)
    stream, model = Stream(tmp_path / "bundle", sizes={"N": 2}), make()
    assert [*stream.states] == states
    for x in torch.randn(20, 2, 4):
        assert np.allclose(stream.step(x.numpy()), model(x).numpy(), atol=1e-5)


def test_what_comes_apart_is_refused_with_both_places(tmp_path: Path) -> None:
    class Parting(Newest):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            if x.max() > 100:
                self.newest = torch.zeros(4)
            return y

    with pytest.raises(
        CaptureError, match=r"self\.newest lies in the memory of self\.rows in some calls and not in others"
    ):
        export_onnx(Parting(), "x: float32[N, 4]", tmp_path / "bundle", stateful=True)
