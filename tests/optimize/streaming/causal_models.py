"""Small causal models, each of which remembers something in another way, and what a stream of each carries."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROWS = "float32[N, T, 3]"
CHANNELS = "float32[N, 3, T]"


class Padded(nn.Module):
    """Padded on the left, dilated, before a layer with a state of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3, dilation=2)
        self.rnn = nn.GRU(4, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.conv(F.pad(x.transpose(1, 2), (4, 0))).relu().transpose(1, 2))[0]


class Chomped(nn.Module):
    """Padded on both sides, and what follows from the right cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 4, padding=3, groups=3)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.conv(x)[..., : x.size(2)]) + x


class Bands(nn.Module):
    """Over time and bands, the time last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, (3, 3), padding=(1, 0))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (2, 0))).relu()


class Shifted(nn.Module):
    """Three ways to say: the step before."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.ZeroPad2d((0, 0, 1, -1))
        self.mix = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)
        return self.mix(x - self.shift(x)) + F.pad(x, (0, 0, 1, -1)) * joined


class Windows(nn.Module):
    """Windows by unfold, by slices, and pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        padded, T = F.pad(x, (0, 0, 2, 0)), x.size(1)
        unfolded = self.head(padded.unfold(1, 3, 1).reshape(x.size(0), T, 9))
        stacked = torch.stack([padded[:, k : k + T] for k in range(3)], -1).amax(-1)
        pooled = F.max_pool1d(padded.transpose(1, 2), 3, 1) + F.avg_pool1d(padded.transpose(1, 2), 3, 1)
        return unfolded + stacked + pooled.transpose(1, 2)


class Sums(nn.Module):
    """A mean of all steps up to here, and a product that does not overflow."""

    def forward(self, x: Tensor) -> Tensor:
        count = torch.arange(1, x.size(1) + 1).view(1, -1, 1)
        return x.cumsum(1) / count + x.tanh().cumprod(1)


class Positions(nn.Module):
    """Rows of a table and of an embedding, and waves, by the number of the step."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, 4000, 4))
        self.embedding = nn.Embedding(4000, 4)

    def forward(self, x: Tensor) -> Tensor:
        T = x.size(1)
        at = torch.arange(T, dtype=torch.float32).unsqueeze(1) * torch.tensor([1.0, 0.1])
        return x + self.table[:, :T] + self.embedding(torch.arange(T)) + torch.cat([at.sin(), at.cos()], -1)


class AfterPrefix(nn.Module):
    """A layer whose first steps are padded ones."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 1)
        self.rnn = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.conv(F.pad(x.transpose(1, 2), (2, 0))).transpose(1, 2))[0][:, 2:]


class Loop(nn.Module):
    """A loop over what a convolution gives."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 2)
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(F.pad(x, (1, 0))).permute(2, 0, 1)
        h = torch.zeros(x.size(0), 4)
        outputs = []
        for step in y:
            h = self.cell(step, h)
            outputs.append(h)
        return torch.stack(outputs, 1)


class Ahead(nn.Module):
    """Reads two steps ahead, and goes on with a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(F.pad(x[:, 2:], (0, 0, 0, 2)))[0]


class Centered(nn.Module):
    """Convolutions that look as far ahead as back, and a connection around them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(3, 3, 3, padding=1)
        self.second = nn.Conv1d(3, 3, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu()) + x


class Valid(nn.Module):
    """Gives fewer steps than it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Strided(nn.Module):
    """To a quarter of the steps and back, as U-Nets do."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv1d(3, 4, 3, 2), nn.Conv1d(4, 4, 3, 2)])
        self.up = nn.ModuleList([nn.ConvTranspose1d(4, 4, 3, 2), nn.ConvTranspose1d(4, 3, 3, 2)])

    def forward(self, x: Tensor) -> Tensor:
        half = self.down[0](F.pad(x, (1, 0))).relu()
        quarter = self.down[1](F.pad(half, (1, 0))).relu()
        return self.up[1](self.up[0](quarter)[..., :-1].relu() + half)[..., :-1]


class Frames(nn.Module):
    """Samples to overlapping frames and back."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Conv1d(1, 5, 8, stride=4, padding=4)
        self.rnn = nn.GRU(5, 5, batch_first=True)
        self.decode = nn.ConvTranspose1d(5, 1, 8, stride=4, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        frames = self.encode(x.unsqueeze(1)).relu()
        return self.decode(frames * self.rnn(frames.transpose(1, 2))[0].transpose(1, 2)).squeeze(1)


class Stacked(nn.Module):
    """Two steps become one."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(6, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        N, T, C = x.shape
        return self.rnn(x[:, : T // 2 * 2].reshape(N, T // 2, 2 * C))[0]


class Last(nn.Module):
    """What a window says at the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (2, 0)))[:, :, -1]


class Counted(nn.Module):
    """A running number of steps beside what looks ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) / torch.ones_like(x).cumsum(2)


class FirstAgain(nn.Module):
    """Begins with its first step again, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(3, 3, 3)
        self.second = nn.Conv1d(3, 3, 3, dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(F.pad(x, (2, 0), mode="replicate"))
        return self.second(F.pad(y, (4, 0), mode="replicate").sigmoid())


class Repeated(nn.Module):
    """Every step twice, by two ways, and a window of that."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(F.interpolate(x, scale_factor=2) - x.repeat_interleave(2, 2).tanh(), (2, 0)))


class Neighbours(nn.Module):
    """To half the steps and back, with a connection around."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.out = nn.Conv1d(3, 3, 4, 2), nn.Conv1d(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        even = x[..., : x.size(2) // 2 * 2]
        y = F.interpolate(self.down(F.pad(even, (2, 0))), scale_factor=2)
        return self.out(F.pad(y + even, (2, 0)))
