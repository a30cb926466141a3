"""Inputs that nobody described are proposed: what a layer takes, with the batch and time where it has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rnn_export import UndescribedInputsError, load
from rnn_export.pytorch.proposal import propose_inputs
from torch import Tensor, nn


class Text(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(500, 8), nn.LSTM(8, 4, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.rnn(self.embedding(tokens))[0]


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(8, 4, batch_first=True)

    def forward(self, x: Tensor, seq_lens: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, seq_lens, batch_first=True, enforce_sorted=False)
        return self.rnn(packed)[1]


class Translator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(30, 8), nn.Embedding(40, 8)
        self.encoder, self.decoder = nn.GRU(8, 4, batch_first=True), nn.GRU(8, 4, batch_first=True)

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        return self.decoder(self.target(tgt), self.encoder(self.source(src))[1])[0]


class Masked(Text):
    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return super().forward(tokens) * mask[..., None]


class Scratch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.vocab_size = 28
        self.weight = nn.Parameter(torch.zeros(28, 4))

    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.one_hot(inputs.T, self.vocab_size).float() @ self.weight


class Convolved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.rnn = nn.Conv1d(3, 8, 50), nn.GRU(8, 4, batch_first=True)

    def forward(self, wave: Tensor) -> Tensor:
        return self.rnn(self.convolution(wave).transpose(1, 2))[0]


class Mystery(nn.Module):
    def forward(self, thing: object) -> Tensor:
        return thing.tensor  # type: ignore[attr-defined, no-any-return]


PROPOSED = [
    (nn.LSTM(100, 4), {"input": "float32[T, N, 100]"}),
    (nn.LSTM(100, 4, batch_first=True), {"input": "float32[N, T, 100]"}),
    (nn.GRUCell(3, 4), {"input": "float32[N, 3]"}),
    (Text(), {"tokens": "int64[N, T] in 0..499"}),
    (Packed(), {"x": "float32[N, T, 8]", "seq_lens": "int64[N] in 1..T"}),
    (Translator(), {"src": "int64[N, T] in 0..29", "tgt": "int64[N, U] in 0..39"}),
    (Masked(), {"tokens": "int64[N, T] in 0..499", "mask": "bool[N, T]"}),
    (Scratch(), {"inputs": "int64[N, T] in 0..27"}),
    (Convolved(), {"wave": "float32[N, 3, T]"}),
]


@pytest.mark.parametrize(("model", "proposed"), PROPOSED, ids=lambda each: type(each).__name__)
def test_what_is_proposed(model: nn.Module, proposed: dict[str, str]) -> None:
    assert propose_inputs(model) == proposed


def test_nothing_is_proposed_that_does_not_run() -> None:
    assert propose_inputs(Mystery()) is None


def test_the_parts_of_a_state() -> None:
    class Continued(nn.LSTM):
        def forward(self, x: Tensor, hidden: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
            return super().forward(x, hidden)[0]

    state = "float32[2, N, 4]"
    expected = {"x": "float32[T, N, 3]", "hidden.0": state, "hidden.1": state}
    assert propose_inputs(Continued(3, 4, 2)) == expected


def test_a_proposal_fits_the_example() -> None:
    assert propose_inputs(Scratch(), [np.zeros((4, 9), "int64")]) == {"inputs": "int64[N, T] in 0..27"}
    assert propose_inputs(nn.Tanh(), {"input": np.zeros((4, 9, 6), "float32")}) == {"input": "float32[N, T, 6]"}


def test_the_proposal_is_in_the_error() -> None:
    with pytest.raises(UndescribedInputsError) as error:
        load("torch.nn:GRU", input_size=3, hidden_size=4)
    assert error.value.proposal == {"input": "float32[T, N, 3]"}
    assert 'It runs with `inputs={"input": "float32[T, N, 3]"}`; give that if it is right.' in str(error.value)
