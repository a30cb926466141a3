"""A model that counts its steps itself: chunks of any length go on where the one before ended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from rnn_export import Stream, export_onnx
from torch import Tensor, nn


class Positions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen = 5

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(self.seen, self.seen + x.shape[0])
        self.seen += x.shape[0]
        return x + torch.sin(places * 0.1)[:, None, None]


def test_positions_go_on(tmp_path: Path) -> None:
    export_onnx(Positions(), "x: float32[T, N, 4]", tmp_path / "bundle", stateful=True)
    stream, model = Stream(tmp_path / "bundle", sizes={"N": 2}), Positions()
    assert [*stream.states] == ["seen0"]
    for chunk in torch.randn(21, 2, 4).split([1, 2, 9, 5, 4]):
        assert np.allclose(stream.run(chunk.numpy()), model(chunk).numpy(), atol=1e-5)


def test_what_grows_until_a_window_is_full_has_no_length_in_the_file(tmp_path: Path) -> None:
    class Window(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.past: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            rows = x[:, None]
            self.past = rows if self.past is None else torch.cat([self.past, rows], 1)[:, -5:]
            return self.past.sum(1)

    exported = export_onnx(Window(), "x: float32[N, 4]", tmp_path / "bundle", stateful=True)
    (after,) = [value for value in onnx.load(exported.model).graph.output if value.name == "past_n"]
    assert not after.type.tensor_type.shape.dim[1].HasField("dim_value")
