"""Small models that attend to earlier steps, each with a mask written in another way."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST = torch.finfo(torch.float32).min


class Heads(nn.Module):
    """Queries, keys and values of two heads, and what joins them again."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(6, 18), nn.Linear(6, 6)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        N, T, _ = x.shape
        q, k, v = (part.view(N, T, 2, 3).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        return q, k, v

    def join(self, y: Tensor) -> Tensor:
        joined: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return joined


def behind(T: int) -> Tensor:
    """How far the step j is behind the step i."""
    step = torch.arange(T)
    return step[:, None] - step[None, :]


class Band(Heads):
    """Comparisons of positions, turned in the plane by them before."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        d = behind(x.size(1))
        at = torch.arange(x.size(1))[:, None] * torch.tensor([1.0, 0.1, 0.01])
        scores = (q * at.cos()) @ (k * at.cos()).mT + (q * at.sin()) @ (k * at.sin()).mT
        return self.join(torch.where((d >= 0) & (d < 4), scores, LEAST).softmax(-1) @ v)


class Triangles(Heads):
    """A mask of two triangles for PyTorch's own attention."""

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones(x.size(1), x.size(1), dtype=torch.bool).tril().triu(-2)
        return self.join(F.scaled_dot_product_attention(*self.split(x), attn_mask=mask))


class Slopes(Heads):
    """Farther steps count less, by another slope for each head."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        d = behind(x.size(1))
        bias = (-d * torch.tensor([0.5, 0.25])[:, None, None]).masked_fill((d < 0) | (d > 6), float("-inf"))
        return self.join((q @ k.mT + bias).softmax(-1) @ v)


class Sums(nn.Module):
    """Scores from sums of queries and keys; no heads."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.score = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        d = behind(x.size(1))
        scores = self.score((self.q(x)[:, :, None] + self.k(x)[:, None]).tanh())[..., 0]
        return scores.masked_fill((d < 0) | (d >= 3), -1e4).softmax(-1) @ x


class Ahead(Heads):
    """Two steps ahead, and a connection around."""

    def forward(self, x: Tensor) -> Tensor:
        d = behind(x.size(1))
        return x + self.join(F.scaled_dot_product_attention(*self.split(x), attn_mask=(d >= -2) & (d <= 3)))


class AfterConv(Heads):
    """After a convolution that looks ahead, so that the first columns are no steps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x.mT).mT
        mask = torch.ones(x.size(1), x.size(1), dtype=torch.bool).tril().triu(-2)
        return x + self.join(F.scaled_dot_product_attention(*self.split(y), attn_mask=mask))


class Strided(Heads):
    """At half the steps, the steps first."""

    def forward(self, x: Tensor) -> Tensor:
        y = x[:, ::2].transpose(0, 1)
        d = behind(y.size(0))
        scores = torch.einsum("inc,jnc->ijn", y, y).masked_fill(((d < 0) | (d > 4))[..., None], float("-inf"))
        return torch.einsum("ijn,jnc->nic", scores.softmax(1), y)


class Prefixed(Heads):
    """Zeros before the first step, which take part."""

    def forward(self, x: Tensor) -> Tensor:
        y = F.pad(x, (0, 0, 2, 0))
        d = behind(y.size(1))
        return self.join(F.scaled_dot_product_attention(*self.split(y), attn_mask=(d >= 0) & (d < 4)))[:, 2:]


class Causal(Heads):
    def forward(self, x: Tensor) -> Tensor:
        return self.join(F.scaled_dot_product_attention(*self.split(x), is_causal=True))


class LateCausal(AfterConv):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x.mT).mT
        return x + self.join(F.scaled_dot_product_attention(*self.split(y), is_causal=True))


class Buffer(Heads):
    """A triangle kept in a buffer, and an embedding of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(300, 300).tril())
        self.position = nn.Embedding(300, 6)

    def forward(self, x: Tensor) -> Tensor:
        T = x.size(1)
        q, k, v = self.split(x + self.position(torch.arange(T)))
        return self.join((q @ k.mT).masked_fill(self.mask[:T, :T] == 0, float("-inf")).softmax(-1) @ v)


class Buckets(Heads):
    """A learned bias by distance, the same from some distance on."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Embedding(9, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        d = behind(x.size(1))
        scores = q @ k.mT + self.bias(d.clamp(0, 8)).permute(2, 0, 1)
        return self.join(scores.masked_fill(d < 0, -1e9).softmax(-1) @ v)


class ByHand(Heads):
    """A softmax written out."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        scores = (q @ k.mT).masked_fill(behind(x.size(1)) < 0, float("-inf"))
        shares = (scores - scores.amax(-1, keepdim=True)).exp()
        return self.join(shares / shares.sum(-1, keepdim=True) @ v)


class Linear(Heads):
    """No softmax: products of positive features, the keys first."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        products = torch.triu(k.sigmoid() @ q.sigmoid().mT)
        return self.join((v.mT @ products).mT)


class Alternating(nn.Module):
    """A window, then all: one state of fixed length, one that grows."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = Triangles(), Causal()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.far(x + self.near(x))
        return y


class Library(nn.Module):
    """PyTorch's layer and its own mask."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.size(1))
        y: Tensor = self.layer(x, src_mask=mask, is_causal=True)
        return y
