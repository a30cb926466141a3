"""Models of which each is served in another way."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Tagger(nn.Module):
    """Batch first: what comes out has the batch first too. With `mixing`, sequences see each other."""

    def __init__(self, mixing: bool = False) -> None:
        super().__init__()
        self.rnn, self.linear, self.mixing = nn.RNN(3, 4, batch_first=True), nn.Linear(4, 2), mixing

    def forward(self, x: Tensor) -> Tensor:
        output = self.linear(self.rnn(x)[0])
        return output - output.mean(0) if self.mixing else output


class Encoder(nn.LSTM):
    """What it gives is as long as the longest sequence."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]  # lengths for states
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(super().forward(packed)[0], batch_first=True)[0]


class LastOf(nn.LSTM):
    """The last step of each sequence, whose place its length says."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]  # lengths for states
        return super().forward(x)[0][torch.arange(x.size(0)), lengths - 1]


class Learned(nn.Module):
    """A sequence begins with what was learned."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)
        self.h0 = nn.Parameter(torch.tensor([0.5, -1.0, 0.25, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x, self.h0.expand(1, x.size(1), 4).contiguous())[0]


class LearnedBatchFirst(nn.Module):
    """The same with the batch first, so that sequences of different clients are run together."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, batch_first=True)
        self.h0 = nn.Parameter(torch.tensor([0.5, -1.0, 0.25, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        h0 = self.h0.expand(1, x.size(0), 4).contiguous()
        return self.rnn(x, (h0, torch.zeros_like(h0)))[0]


class Scaled(nn.Module):
    """A single number goes in, and another comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        output = self.rnn(x)[0] * scale
        return output, output.sum()


class Masked(nn.Module):
    """Integers and booleans, and one number of each sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(10, 3), nn.GRU(3, 4, batch_first=True)

    def forward(self, tokens: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        output = self.rnn(self.embedding(tokens))[0].masked_fill(~kept.unsqueeze(-1), 0.0)
        return output, kept.sum(1)
