"""What stands before and after a recurrence."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .form import TOKENS, X, form


class Base(nn.Module):
    def __init__(self, size: int = 3, **options: Any) -> None:
        super().__init__()
        self.rnn = nn.GRU(size, 4, batch_first=True, **options)


@form({"x": "float32[N, 3, T]"})
class Conv1dBefore(Base):
    def __init__(self) -> None:
        super().__init__(6)
        self.conv = nn.Conv1d(3, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(torch.relu(self.conv(x)).permute(0, 2, 1))[0]


@form({"x": "float32[N, 3, T]"})
class Conv1dShrinks(Base):
    def __init__(self) -> None:
        super().__init__(6)
        self.conv = nn.Conv1d(3, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(torch.relu(self.conv(x)).transpose(1, 2))[0]


@form({"x": "float32[N, 3, T]"})
class Conv1dStrides(Base):
    def __init__(self) -> None:
        super().__init__(6)
        self.conv = nn.Conv1d(3, 6, 5, stride=2, padding=2)
        self.bn = nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(F.relu(self.bn(self.conv(x))).transpose(1, 2))
        return y


@form({"x": "float32[N, 1, 8, T]"})
class Crnn(nn.Module):
    """Convolutions over a picture, whose columns are then the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2), nn.Conv2d(4, 5, 3, padding=1),
            nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d((2, 1), (2, 1)), nn.Conv2d(5, 6, (2, 1)),
        )  # fmt: skip
        self.rnn = nn.LSTM(6, 4, bidirectional=True)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        features = self.cnn(x)
        _, _, h, _ = features.size()
        assert h == 1, "the height of conv must be 1"
        recurrent, _ = self.rnn(features.squeeze(2).permute(2, 0, 1))
        T, b, h = recurrent.size()
        return self.fc(recurrent.view(T * b, h)).view(T, b, -1)


@form({"x": "float32[N, 1, T, 8]"})
class DeepSpeech(nn.Module):
    """Strided 2d convolutions over time and frequency."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 4, (11, 5), stride=(2, 2), padding=(5, 2)), nn.BatchNorm2d(4), nn.Hardtanh(0, 20)
        )
        self.rnn = nn.GRU(16, 4, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).transpose(2, 3)
        sizes = x.size()
        x = x.reshape(sizes[0], sizes[1] * sizes[2], sizes[3]).permute(2, 0, 1).contiguous()
        x, _ = self.rnn(x)
        return x.view(x.size(0), x.size(1), 2, -1).sum(2)


@form({"x": "float32[N, 3, T]"})
class PoolsWithCeil(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(F.max_pool1d(x, 2, ceil_mode=True).transpose(1, 2))[0]


@form({"x": "float32[N, 3, T]"})
class PoolsAverage(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(F.avg_pool1d(x, 2, stride=1, padding=1).transpose(1, 2))[0]


@form({"x": "float32[N, 3, T]"})
class PoolsToOne(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = self.rnn(x.transpose(1, 2))[0].transpose(1, 2)
        return torch.cat([F.adaptive_avg_pool1d(y, 1), F.adaptive_max_pool1d(y, 1)], 1).squeeze(-1)


@form({"x": "float32[N, 3, T]"})
class GroupNormed(Base):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.norm(x).transpose(1, 2))[0]


@form(X)
class Strided(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x[:, ::2])[0]


@form(X)
class Flipped(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x.flip(1))[0].flip([1])


@form(X)
class Differences(Base):
    def forward(self, x: Tensor) -> Tensor:
        before = F.pad(x, (0, 0, 1, 0))[:, :-1]
        return self.rnn(x - before)[0]


@form(X)
class PaddedToEven(Base):
    """Pairs of steps side by side; an odd last step gets a partner of zeros."""

    def __init__(self) -> None:
        super().__init__(6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, x.size(1) % 2))
        return self.rnn(x.reshape(x.size(0), x.size(1) // 2, 6))[0]


@form({"x": "float32[N, 8, 3]"})
class PyramidOfFixedLength(Base):
    def __init__(self) -> None:
        super().__init__(6)

    def forward(self, x: Tensor) -> Tensor:
        N, T, size = x.shape
        return self.rnn(x.view(N, T // 2, 2 * size))[0]


@form(X)
class Windows(Base):
    """Each step with its neighbours, by unfold."""

    def __init__(self) -> None:
        super().__init__(9)

    def forward(self, x: Tensor) -> Tensor:
        windows = F.pad(x, (0, 0, 1, 1)).unfold(1, 3, 1)
        return self.rnn(windows.flatten(2))[0]


@form({"x": "float32[N, T, 2, 3]"})
class Flattens(Base):
    def __init__(self) -> None:
        super().__init__(6)

    def forward(self, x: Tensor) -> Tensor:
        N, T = x.size(0), x.size(1)
        y = self.rnn(x.view(N, T, -1))[0]
        return y.reshape(-1, y.size(-1))


@form({"x": "float32[N, T, 1, 6, 6]"})
class Frames(Base):
    """A small convolutional network for each frame of a film."""

    def __init__(self) -> None:
        super().__init__(12)
        self.cnn = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        N, T, C, H, W = x.size()
        features = self.cnn(x.view(N * T, C, H, W))
        return self.rnn(features.view(N, T, -1))[0][:, -1]


@form(X)
class SumsDirections(Base):
    def __init__(self) -> None:
        super().__init__(bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        return y[..., :4] + y[..., 4:]


@form(X)
class ViewsDirections(Base):
    def __init__(self) -> None:
        super().__init__(bidirectional=True, num_layers=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, h = self.rnn(x)
        N, T, _ = y.shape
        both = y.view(N, T, 2, 4)
        last = h.view(2, 2, N, 4)[-1]
        return both.sum(2), torch.cat([last[0], last[1]], 1), torch.cat((h[-2], h[-1]), dim=1)


@form(X)
class PoolsOverTime(Base):
    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        return torch.cat(
            [y.mean(1), y.max(dim=1)[0], y.max(1).values, y.sum(1) / y.size(1), y.std(1, unbiased=False)], -1
        )


@form({"x": "float32[N, T, 3]", "lengths": "int64[N] in 1..1"})
class LastValid(Base):
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        index = (lengths - 1).view(-1, 1, 1).expand(-1, 1, y.size(2))
        return y.gather(1, index).squeeze(1)


@form({"x": "float32[N, T, 3]", "lengths": "int64[N] in 1..1"})
class LastByIndex(Base):
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        return y[torch.arange(y.size(0)), lengths - 1]


@form({"x": "float32[N, T, 3]", "lengths": "int64[N] in 0..9"})
class MaskedMean(Base):
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        mask = torch.arange(y.size(1), device=y.device)[None, :] < lengths[:, None]
        y = y.masked_fill(~mask.unsqueeze(-1), 0.0)
        return y.sum(1) / lengths.clamp(min=1).unsqueeze(-1)


@form({"x": "float32[N, T, 3]", "mask": "bool[N, T]"})
class BoolMask(Base):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y, _ = self.rnn(torch.where(mask.unsqueeze(-1), x, torch.zeros_like(x)))
        scores = y.sum(-1).masked_fill(~mask, float("-1e9"))
        return torch.softmax(scores, 1)


@form(X)
class Additive(Base):
    """Attention over the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.W, self.v = nn.Linear(4, 5), nn.Linear(5, 1, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, _ = self.rnn(x)
        weights = torch.softmax(self.v(torch.tanh(self.W(y))), dim=1)
        context = torch.bmm(weights.transpose(1, 2), y).squeeze(1)
        return context, weights


@form(X)
class DotProduct(Base):
    def forward(self, x: Tensor) -> Tensor:
        y, h = self.rnn(x)
        scores = torch.einsum("bth,bh->bt", y, h[-1]) / math.sqrt(4)
        return torch.einsum("bt,bth->bh", scores.softmax(-1), y)


@form(X)
class MultiHead(Base):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, _ = self.rnn(x)
        return self.attention(y, y, y)


@form(X)
class MultiHeadWithoutWeights(MultiHead):
    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        return self.attention(y, y, y, need_weights=False)[0]


@form({"x": "float32[T, N, 3]"})
class MultiHeadTimeFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4)
        self.attention = nn.MultiheadAttention(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        return self.attention(y, y, y)[0]


@form(X)
class ScaledDotProduct(Base):
    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        return F.scaled_dot_product_attention(y, y, y)


@form(X)
class CausalThreeDims(Base):
    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        return F.scaled_dot_product_attention(y, y, y, is_causal=True)


@form(X)
class CausalFourDims(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = self.rnn(x)[0].unflatten(-1, (2, 2)).transpose(1, 2)
        return F.scaled_dot_product_attention(y, y, y, is_causal=True).transpose(1, 2).flatten(2)


@form(X)
class CausalMask(MultiHead):
    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        T = y.size(1)
        mask = torch.triu(torch.full((T, T), float("-inf")), diagonal=1)
        return self.attention(y, y, y, attn_mask=mask, need_weights=False)[0]


@form({"x": "float32[N, T, 3]", "mask": "bool[N, T]"})
class KeyPadding(MultiHead):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        mask = mask.clone()
        mask[:, 0] = False
        return self.attention(y, y, y, key_padding_mask=mask)[0]


@form(X)
class TransformerLayer(Base):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.rnn(x)[0])


@form(X)
class TransformerEncoder(Base):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0] + self.encoder(self.rnn(x)[0])


@form(X)
class LearnedPositions(Base):
    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Embedding(300, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x + self.positions(torch.arange(x.size(1), device=x.device)).unsqueeze(0))[0]


@form(X)
class SinePositions(Base):
    pe: Tensor

    def __init__(self) -> None:
        super().__init__()
        position = torch.arange(300).unsqueeze(1)
        self.register_buffer("pe", torch.sin(position * torch.exp(torch.arange(3) * -0.1)).unsqueeze(0))

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x + self.pe[:, : x.size(1)])[0]


@form(TOKENS)
class EmbeddingScaled(Base):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 3, padding_idx=0, max_norm=1.0)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.rnn(self.embedding(tokens) * math.sqrt(3))[0]


@form({"tokens": "int64[N, 6] in 0..9", "x": "float32[N, T, 3]"})
class Bag(Base):
    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(10, 4)

    def forward(self, tokens: Tensor, x: Tensor) -> Tensor:
        return self.bag(tokens) + self.rnn(x)[0][:, -1]


@form({"x": "float32[N, T, 3]", "id": "int64[N] in 0..4"})
class Speaker(Base):
    """A vector for each sequence, repeated over time beside the input."""

    def __init__(self) -> None:
        super().__init__(5)
        self.speakers = nn.Embedding(5, 2)

    def forward(self, x: Tensor, id: Tensor) -> Tensor:
        speaker = self.speakers(id).unsqueeze(1).repeat(1, x.size(1), 1)
        return self.rnn(torch.cat([x, speaker], dim=-1))[0]


@form({"source": "int64[N, S] in 0..9", "target": "int64[N, T] in 0..9"})
class EncoderDecoder(nn.Module):
    """Two dynamic lengths, attention from one to the other."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 3)
        self.encoder = nn.LSTM(3, 4, batch_first=True)
        self.decoder = nn.LSTM(3, 4, batch_first=True)
        self.out = nn.Linear(8, 10)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, state = self.encoder(self.embedding(source))
        y, _ = self.decoder(self.embedding(target), state)
        weights = torch.softmax(y @ memory.transpose(1, 2), -1)
        return self.out(torch.cat([y, weights @ memory], -1))


@form(X)
class Chooses(Base):
    def forward(self, x: Tensor) -> Any:
        y, _ = self.rnn(x)
        scores, places = y.topk(2, dim=-1)
        return {"scores": scores, "places": places, "best": y.argmax(-1), "total": y.cumsum(1)}


@form(X)
class Gates(Base):
    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        a, b = y.chunk(2, -1)
        return F.glu(y, -1) + a * torch.sigmoid(b) + F.leaky_relu(a) + F.gelu(b) + F.silu(a)


@form(X)
class SortsBatch(Base):
    """Sequences in another order, and back."""

    def forward(self, x: Tensor) -> Tensor:
        order = x[:, 0, 0].argsort(descending=True)
        y, _ = self.rnn(x.index_select(0, order))
        return y[torch.argsort(order)]


@form({"x": "float32[T, 3]"})
class Unbatched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, bidirectional=True)

    def forward(self, x: Tensor) -> Any:
        return self.rnn(x)


@form({"x": "float32[1, T, 3]"})
class BatchOfOne(Base):
    def forward(self, x: Tensor) -> Any:
        y, h = self.rnn(x)
        return y.squeeze(0), h.squeeze()


@form({"x": "float64[N, T, 3]"})
class Float64(Base):
    def __init__(self) -> None:
        super().__init__()
        self.double()

    def forward(self, x: Tensor) -> Any:
        return self.rnn(x)


@form(X)
class SometimesNone(Base):
    def forward(self, x: Tensor) -> Any:
        y, h = self.rnn(x)
        return y, None, [], {"h": h, "attention": None}


@form(X)
class DualPath(nn.Module):
    """Within chunks, then across them."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.LSTM(3, 4, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(8, 3)
        self.outer = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        N, T, size = x.shape
        x = F.pad(x, (0, 0, 0, (4 - T % 4) % 4))
        chunks = x.view(N, -1, 4, size)
        K = chunks.size(1)
        y = self.fc(self.inner(chunks.reshape(N * K, 4, size))[0]).view(N, K, 4, size) + chunks
        across = y.transpose(1, 2).reshape(N * 4, K, size)
        return self.outer(across)[0].view(N, 4, K, 4).transpose(1, 2).reshape(N, K * 4, 4)[:, :T]


@form({"x": "float32[N, 3, T]"})
class PoolsByEight(Base):
    """It cannot run the few steps that a model is tried with first."""

    def __init__(self) -> None:
        super().__init__(6)
        self.cnn = nn.Sequential(
            nn.Conv1d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 6, 3, 2, 1), nn.MaxPool1d(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.cnn(x).permute(0, 2, 1))[0][:, -1]


@form({"x": "float32[N, 3, T]"})
class DownAndUp(Base):
    """Half the steps through the layer, and back to as many as there were."""

    def __init__(self) -> None:
        super().__init__(6)
        self.down, self.up = nn.Conv1d(3, 6, 4, 2, 1), nn.ConvTranspose1d(4, 3, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(self.rnn(self.down(x).transpose(1, 2))[0].transpose(1, 2))
        return F.pad(y, (0, x.size(-1) - y.size(-1))) + x


@form({"a": "float32[N, T, 3]", "b": "float32[N, S, 3]"})
class OneAfterTheOther(Base):
    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        y, _ = self.rnn(torch.cat([a, b], 1))
        return y[:, : a.size(1)], y[:, a.size(1) :]


@form({"x": "float32[N, T, 3]", "lengths": "int64[N] in 1..1"})
class ReversesByLength(Base):
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        steps = torch.arange(x.size(1)).unsqueeze(0)
        places = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
        return self.rnn(x.gather(1, places[..., None].expand_as(x)))[0]
