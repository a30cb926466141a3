"""A file whose keys and values grow is fed token for token, or a prefix at once, and gives what PyTorch gives."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from rnn_export import InputError, Signature, Stream, export_onnx
from torch import Tensor, nn


class Layer:
    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        self.keys = keys if self.keys is None else torch.cat([self.keys, keys], 1)
        self.values = values if self.values is None else torch.cat([self.values, values], 1)
        return self.keys, self.values


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(16, 8)
        self.mix = nn.Linear(8, 24)
        self.cache = Layer()

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = self.mix(self.embed(x)).chunk(3, -1)
        keys, values = self.cache.update(keys, values)
        past = torch.arange(keys.shape[1])
        later = past > past[-queries.shape[1] :, None]
        weights = (queries @ keys.transpose(1, 2)).masked_fill(later, -torch.inf).softmax(-1)
        return weights @ values


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    model = Decoder().eval()
    folder = tmp_path_factory.mktemp("growing") / "bundle"
    export_onnx(model, Signature({"x": "int64[N, T] in 0..15"}, "y"), folder, stateful=True)
    return model, folder


def tokens(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 16, shape)


def expected(model: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return copy.deepcopy(model)(torch.from_numpy(x)).numpy()


def test_a_prefix_and_then_one_after_another(exported: tuple[nn.Module, Path]) -> None:
    model, folder = exported
    x = tokens(2, 9)
    stream = Stream(folder, sizes={"N": 2})
    got = [stream.run(x[:, :5]), *(stream.step(x[:, t])[:, None] for t in range(5, 9))]
    np.testing.assert_allclose(np.concatenate(got, 1), expected(model, x), atol=1e-5)
    assert stream.states["cache.keys.h0"].shape == (2, 9, 8)


def test_back_to_the_beginning_and_to_a_saved_past(exported: tuple[nn.Module, Path]) -> None:
    model, folder = exported
    x = tokens(1, 4)
    stream = Stream(folder)
    stream.run(tokens(1, 7))
    stream.reset()
    first = stream.run(x[:, :2])
    saved = stream.states
    second = stream.run(x[:, 2:])
    stream.run(x)
    stream.states = saved
    np.testing.assert_array_equal(stream.run(x[:, 2:]), second)
    np.testing.assert_allclose(np.concatenate([first, second], 1), expected(model, x), atol=1e-5)


def test_what_is_no_past_of_the_model_is_refused(exported: tuple[nn.Module, Path]) -> None:
    stream = Stream(exported[1])
    with pytest.raises(InputError, match=r"cache\.keys\.h0"):
        stream.states = {**stream.states, "cache.keys.h0": np.zeros((1, 3, 9), np.float32)}
    with pytest.raises(InputError, match="Reset all"):
        stream.reset(rows=[0])
