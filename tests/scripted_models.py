"""Models whose TorchScript has every kind of code: loops, branches, lists, classes, states, numbers from sizes."""
# ruff: noqa: B905, C416, PERF403, UP006, UP035, UP045 - TorchScript reads these types

from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Pair(NamedTuple):
    first: Tensor
    count: int


class Total:
    def __init__(self, x: Tensor):
        self.sum = x
        self.steps = 0

    def add(self, x: Tensor, weight: float = 0.5) -> int:
        self.sum = self.sum + weight * x
        self.steps += 1
        return self.steps


def doubled(x: Tensor, times: int = 3) -> Tensor:
    for i in range(times):
        if i == 2:
            break
        x = x * 2
    return x


def halved(x: Tensor, by: Optional[float] = None) -> Tensor:
    if by is None:
        return x / 2
    return x / by


class Stepwise(nn.Module):
    """A cell over time, its state a tuple of tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(4, 6)
        self.out = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        h = torch.zeros(x.size(1), 6)
        c = torch.zeros(x.size(1), 6)
        ys: List[Tensor] = []
        for t in range(x.size(0)):
            h, c = self.cell(x[t], (h, c))
            ys.append(self.out(h))
        return torch.stack(ys), h


class Backward(Stepwise):
    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        h = torch.zeros(x.size(1), 6)
        c = torch.zeros(x.size(1), 6)
        ys = [h]
        for t in range(x.size(0) - 1, -1, -1):
            h, c = self.cell(x[t], (h, c))
            ys += [h]
        return torch.stack(ys[1:]), torch.cat(ys[:1] + ys[-1:], dim=-1)


class Swapping(nn.Module):
    """States that change places, and a counter."""

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        a, b = x[0], x[-1] * 2
        older = a
        n = 0
        for t in range(x.size(0)):
            a, b, older = b, a + x[t] * n, a
            n += t
        return a, b, older * n


class Stopping(nn.Module):
    """`while`, `break`, `continue`, and a return from within a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 4)

    def forward(self, x: Tensor, limit: int = 5) -> Tensor:
        h = torch.zeros(x.size(1), 4)
        t = 0
        while t < x.size(0) and bool(h.abs().sum() < 50):
            t += 1
            if t == 2:
                continue
            if t > limit:
                break
            h = self.cell(x[t - 1], h)
        for step in range(x.size(0)):
            if step == 3:
                return h * step
            for inner in range(step):
                h = h + inner
                if inner == 1:
                    break
        return h


class Deciding(nn.Module):
    """Branches within branches, on shapes, options and values."""

    def forward(self, x: Tensor, h: Optional[Tensor] = None, scale: float = 2.0) -> Tensor:
        if h is None:
            h = torch.zeros_like(x[0])
        elif h.dim() == 3 or h.size(0) > 2:
            h = h[0]
        if x.size(0) > 2 and (x.size(1) == 1 or x.size(2) != 4):
            y = x * scale
        elif bool(x.sum() > 0):
            y = x + 1
            h = h + 1
        else:
            y = x - 1
        assert y.dim() == 3, f"{y.dim()} dimensions"
        return y + h if y.size(-1) > 1 else y - h


class Listing(nn.Module):
    """Lists and dictionaries that grow, shrink and are handed on."""

    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        kept: Dict[str, Tensor] = {"first": x[0]}
        steps = [step for step in x.unbind(0)]
        last = steps.pop()
        steps.insert(0, last)
        steps.reverse()
        sizes = x.shape[:2]
        nested: List[List[Tensor]] = []
        for i, step in enumerate(steps):
            if i % 2 == 0:
                nested.append([step])
            else:
                nested[-1] += [step * i]
        for name, value in zip(["a", "b"], steps):
            kept[name] = value
        if "a" in kept:
            kept["c"] = torch.cat([torch.stack(group).sum(0) for group in nested], 0)
        kept["sizes"] = torch.tensor(sizes) + len(nested)
        return kept


class Objects(nn.Module):
    """A class and functions of TorchScript, a named tuple, and a method."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = [1, 2, 3]
        self.table = {"a": 3}
        self.name = "x"
        self.rate: Optional[float] = None

    def helper(self, pair: Pair) -> Tensor:
        return pair.first * pair.count + self.levels[1] + self.table["a"]

    def forward(self, x: Tensor) -> Tuple[Tensor, Pair]:
        total = Total(x[0])
        for step in x:
            total.add(doubled(step))
        total.add(halved(x[0], self.rate), 0.25)
        return total.sum * total.steps, Pair(self.helper(Pair(x, x.size(0))), total.steps)


class InPlace(nn.Module):
    """Views that are written to, and operators that write."""

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        y = x.clone()
        before = y.sum()
        y[0] = 2
        y[:, 1:, ::2] += 1
        y[-1, 0] = x[0, 0]
        y.mul_(3).add_(x, alpha=2)
        y[y > 2] = 0
        out = torch.zeros(x.size(0), x.size(1), 4)
        for t in range(x.size(0)):
            out[t] = y[t] * t
        z = torch.ones_like(x)
        view = z.view(-1)
        z.unsqueeze_(0)
        size = z.size(1)
        z.squeeze_(0)
        view[0] = size
        return out + before, z


class Stateful(nn.Module):
    """A state in attributes: a buffer, a tensor that is none, and a number."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(4))
        self.last = torch.zeros(0)
        self.calls = 0

    def reset(self) -> None:
        self.last = torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        if self.calls > 3:
            self.reset()
        if len(self.last) == 0:
            self.last = torch.zeros(x.size(1), 4)
        self.last = self.last * 0.5 + x.sum(0)
        self.seen += x.mean((0, 1))
        self.calls += 1
        return self.last + self.seen * self.calls


class Layers(nn.Module):
    """PyTorch's own layers, recurrent ones and a packed sequence among them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Dropout(0.5))
        self.conv = nn.Conv1d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm1d(8)
        self.lstm = nn.LSTM(8, 6, num_layers=2, bidirectional=True)
        self.gru = nn.GRU(12, 5, batch_first=True)
        self.heads = nn.ModuleDict({"a": nn.Linear(5, 2), "b": nn.Linear(5, 3)})
        self.attend = nn.MultiheadAttention(12, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        y = self.embed(x)
        y = self.norm(self.conv(y.permute(1, 2, 0))).permute(2, 0, 1)
        packed = pack_padded_sequence(y, lengths, enforce_sorted=False)
        out, (h, _) = self.lstm(packed)
        padded, _ = pad_packed_sequence(out)
        attended, _ = self.attend(padded, padded, padded, need_weights=False)
        z, _ = self.gru((padded + attended).transpose(0, 1))
        heads = [head(z) for head in self.heads.values()]
        return heads[0], heads[1], F.log_softmax(h, dim=-1)


class Numbers(nn.Module):
    """Plain numbers of every kind."""

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        t, n = x.size(0), x.size(1)
        half = (t + 1) // 2
        ratio = t / n
        whole = int(ratio * 10) % 7 - max(t, n) + min(3, n)
        first = x[:half].sum() * ratio + whole
        steps = torch.arange(half, t + half, 1).to(torch.float32) / float(t)
        masked = x.masked_fill(x < 0, float("-inf")).to(torch.float64)
        power = 2**t + 2.0**n + abs(-whole)
        return first * power, steps, torch.where(masked == float("-inf"), -1.0, masked) + (not half > 1)


MODELS = {
    kind.__name__: kind
    for kind in (
        *(Stepwise, Backward, Swapping, Stopping, Deciding, Listing),
        *(Objects, InPlace, Stateful, Numbers),
    )
}


class Traced(nn.Module):
    """What a trace keeps: sizes computed from sizes, constants, a cast, a number that stands for every input's."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 6)
        self.cell = nn.GRUCell(6, 6)
        self.out = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        h0 = torch.zeros(1, x.shape[1] * 2 // 2, 6, dtype=torch.float32)
        y, (h, _) = self.lstm(x, (h0, h0 + torch.tensor([0.5])))
        h = self.cell(y[-1], h[0])
        h = self.cell(y[0] + torch.tensor([0.5]), h)
        flat = y.reshape(x.shape[0] * x.shape[1], -1).float() / x.shape[1]
        return self.out(flat).view(x.shape[0], x.shape[1], 3), h.double().to(x.dtype)
