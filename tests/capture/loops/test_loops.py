"""Python loops over time as people write them: each becomes one Scan, right at lengths that were never captured."""

from __future__ import annotations

import inspect
from collections import Counter
from pathlib import Path

import onnx
import pytest
import torch
from rnn_export import CaptureError, Signature, export_onnx
from torch import Tensor, nn
from torch.nn import functional as F

TIME_FIRST = {"x": "float32[T, N, 4]"}
BATCH_FIRST = {"x": "float32[N, T, 4]"}
PAIR = {"x": "float32[T, N, 4]", "y": "float32[S, N, 3]"}


class Cells(nn.Module):
    """Two cells and an output layer, which the loops below put together."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 6)
        self.other = nn.GRUCell(4, 6)
        self.upper = nn.LSTMCell(6, 5)
        self.fc = nn.Linear(6, 3)


class ByIndex(Cells):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = x.new_zeros(x.size(1), 6)
        outs = []
        for t in range(x.size(0)):
            h = self.cell(x[t], h)
            outs.append(h)
        return torch.stack(outs), h


class WithoutState(Cells):
    """The cell makes its initial state itself, in the first step."""

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h = state = None
        outs = []
        for step in x.unbind(0):
            h = self.cell(step, h)
            state = self.upper(h, state)
            outs.append(state[0])
        return torch.stack(outs), state


class BatchFirst(Cells):
    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.size(0), 6)
        outs = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t, :], h)
            outs.append(self.fc(h).unsqueeze(1))
        return torch.cat(outs, 1).view(x.size(0) * x.size(1), -1)


class Backwards(Cells):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.zeros(x.size(1), 6)
        outs: list[Tensor] = []
        for t in reversed(range(len(x))):
            h = self.cell(x[t], h)
            outs.insert(0, h)
        return torch.stack(outs), h


class BothWays(Cells):
    def forward(self, x: Tensor) -> Tensor:
        T = x.size(0)
        h = g = torch.zeros(x.size(1), 6)
        forth, back = [], []
        for t in range(T):
            h, g = self.cell(x[t], h), self.other(x[T - 1 - t], g)
            forth.append(h)
            back.append(g)
        back.reverse()
        return torch.stack([torch.cat(pair, -1) for pair in zip(forth, back, strict=True)])


class LayersInsideTheLoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList([nn.GRUCell(4, 6), nn.GRUCell(6, 6)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        states = [torch.zeros(x.size(1), 6) for _ in self.cells]
        outs = []
        for _, step in enumerate(x):
            y = step
            for i, cell in enumerate(self.cells):
                states[i] = y = cell(y, states[i])
            outs.append(y)
        return torch.stack(outs), torch.stack(states)


class LoopAfterLoop(Cells):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.zeros(x.size(1), 6)
        state = (torch.zeros(x.size(1), 5), torch.zeros(x.size(1), 5))
        lower, outs = [], []
        for step in x:
            h = self.cell(step, h)
            lower.append(h)
        for step in reversed(lower):
            state = self.upper(step, state)
            outs.append(state[0])
        return torch.stack(outs[::-1], dim=1), state[1]


class LayerBetweenLoops(Cells):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(6, 3, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        h, outs = torch.zeros(x.size(1), 6), []
        for step in x:
            h = self.cell(step, h)
            outs.append(h)
        y, _ = self.rnn(torch.stack(outs))
        state, outs = None, []
        for t in range(len(y)):
            state = self.upper(y[t], state)
            outs.append(state[0])
        return torch.stack(outs)


class LayerInsideTheLoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 6, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        state, outs = None, []
        for t in range(x.size(0)):
            out, state = self.rnn(x[t : t + 1], state)
            outs.append(out)
        return torch.cat(outs, 0), state[1]


class WrittenInPlace(Cells):
    def forward(self, x: Tensor) -> Tensor:
        out, h = torch.zeros(x.size(0), x.size(1), 6), torch.zeros(x.size(1), 6)
        for t, step in enumerate(x):
            h = self.cell(step, h)
            out[t] = h
        return out


class ReadsWhatItWrote(Cells):
    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros(x.size(0), x.size(1) + 1, 6)
        for t in range(x.size(1)):
            out[:, t + 1, :] = self.cell(x[:, t, :], out[:, t, :].clone())
        return out[:, 1:]


class GrowsByConcatenation(Cells):
    def forward(self, x: Tensor) -> Tensor:
        h, out = torch.zeros(x.size(0), 6), None
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            out = h.unsqueeze(1) if out is None else torch.cat([out, h.unsqueeze(1)], 1)
        assert out is not None
        return out


class WithParts(Cells):
    """Steps cut from a tensor by `split`, an initial state that is learned, and two of the outputs alone."""

    def __init__(self) -> None:
        super().__init__()
        self.h0 = nn.Parameter(torch.randn(1, 6))
        self.W = nn.Parameter(torch.randn(6, 6))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, outs = self.h0, []
        for step in torch.split(x, 1, dim=1):
            h = torch.tanh(step.squeeze(1) @ self.W[:4] + h @ self.W.t())
            outs.append(h)
        return sum(outs), outs[0], outs[-1]


class TeacherForced(Cells):
    """The first input of the decoder is a parameter, the others are the targets, one step late."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(4, 6), nn.GRUCell(3, 6)
        self.start = nn.Parameter(torch.randn(3))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h, step, outs = self.encoder(x)[1][0], self.start.expand(x.size(1), 3), []
        for t in range(y.size(0)):
            h = self.decoder(step, h)
            outs.append(self.fc(h))
            step = y[t]
        return torch.stack(outs)


class Attention(Cells):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder, self.score = nn.GRU(4, 6), nn.GRUCell(9, 6), nn.Linear(12, 1)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        memory, h_n = self.encoder(x)
        h, outs, weights = h_n[0], [], []
        for t in range(y.size(0)):
            query = h.unsqueeze(0).expand(memory.size(0), -1, -1)
            weight = torch.softmax(self.score(torch.cat([query, memory], -1)).squeeze(-1), 0)
            context = (weight.unsqueeze(-1) * memory).sum(0)
            h = self.decoder(torch.cat([y[t], context], -1), h)
            outs.append(self.fc(h))
            weights.append(weight)
        return torch.stack(outs, 1), torch.stack(weights, 1)


class FreeRunning(Cells):
    """A loop over a length alone: the decoder's input is its own output."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.GRUCell(3, 6)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h, step, outs = torch.zeros(x.size(1), 6), torch.zeros(x.size(1), 3), []
        for t in range(x.size(0)):
            h = self.cell(x[t], h)
        for _ in range(y.size(0)):
            h = self.decoder(step, h)
            step = self.fc(h)
            outs.append(step)
        return torch.stack(outs)


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ih, self.hh = nn.Linear(4, 24), nn.Linear(6, 24, bias=False)
        self.norm, self.cell_norm = nn.LayerNorm(24), nn.LayerNorm(6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h, c, outs = torch.zeros(x.size(1), 6), torch.zeros(x.size(1), 6), []
        for step in x:
            i, f, g, o = self.norm(self.ih(step) + self.hh(h)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(self.cell_norm(c))
            outs.append(h)
        return torch.stack(outs), c


class Unfolded(Cells):
    """Several equal sub-steps within each step, as a solver has them: the loop over time is the outer one."""

    def forward(self, x: Tensor) -> Tensor:
        h, outs = torch.zeros(x.size(1), 6), []
        for step in x:
            for _ in range(6):
                h = h + 0.1 * (self.cell(step, h) - h)
            outs.append(h)
        return torch.stack(outs)


class Averaged(Cells):
    def forward(self, x: Tensor) -> Tensor:
        h, total = torch.zeros(x.size(1), 6), 0
        for step in x:
            h = self.cell(step, h)
            total = total + h
        return total / x.size(0)


class CountsItsSteps(Cells):
    def forward(self, x: Tensor) -> Tensor:
        h, outs = torch.zeros(x.size(1), 6), []
        for t in range(x.size(0)):
            h = self.cell(x[t] * t, h)
            outs.append(h / (t + 1))
        return torch.stack(outs)


class LooksTwoStepsBack(Cells):
    def forward(self, x: Tensor) -> Tensor:
        before, h, outs = torch.ones(x.size(1), 6), torch.zeros(x.size(1), 6), []
        for step in x:
            before, h = h, self.cell(step, h) + before
            outs.append(h)
        return torch.stack(outs)


class KeepsThePreviousInput(Cells):
    def forward(self, x: Tensor) -> Tensor:
        h, previous, outs = torch.zeros(x.size(1), 6), torch.zeros(x.size(1), 4), []
        for step in x:
            h = self.cell(step - previous, h)
            previous = step
            outs.append(h)
        return torch.stack(outs)


class FirstStepDiffers(Cells):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h, outs = None, []
        for step in x:
            h = F.pad(step, (0, 2)) if h is None else self.cell(step, h)
            outs.append(h)
        assert h is not None
        return torch.stack(outs), h


class Masked(Cells):
    def forward(self, x: Tensor) -> Tensor:
        mask, h = (x.sum(-1, keepdim=True) > 0).to(x.dtype), torch.zeros(x.size(1), 6)
        for t in range(x.size(0)):
            h = mask[t] * self.cell(x[t], h) + (1 - mask[t]) * h
        return self.fc(h)


class AfterAConvolution(Cells):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y, h, outs = self.conv(x.transpose(1, 2)), torch.zeros(x.size(0), 6), []
        for t in range(y.size(2)):
            h = self.cell(y[:, :, t], h)
            outs.append(h)
        return torch.stack(outs, 1)


class ReturnsAnEarlierState(Cells):
    """At T=1 the state before the last one is the initial one."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = torch.zeros(x.size(1), 6), torch.ones(x.size(1), 6)
        for step in x:
            a, b = self.cell(step, a + b), a
        return a - b, b


class OneCellInTwoLoops(Cells):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = g = torch.zeros(x.size(1), 6)
        for step in x:
            h = self.cell(step, h)
        for t in range(len(x) - 1, -1, -1):
            g = self.cell(x[t], g)
        return h, g


class AttendsInEveryStep(Cells):
    """PyTorch's attention, whose weights are cut in two in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        h, outs = torch.zeros(x.size(1), 6), []
        for step in x:
            h = self.cell(step, h)
            context, _ = self.attention(h.unsqueeze(0), memory, memory)
            h = h + context[0]
            outs.append(h)
        return torch.stack(outs)


class OneCellForTwoInputs(Cells):
    def run(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.size(1), 6)
        for step in x:
            h = self.cell(step, h)
        return h

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.run(x) * self.run(y)).sum(-1)


class StopsAtItsLength(Cells):
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        h, outs = torch.zeros(x.size(1), 6), []
        for t in range(x.size(0)):
            h = torch.where((t < lengths).unsqueeze(1), self.cell(x[t], h), h)
            outs.append(h)
        return torch.stack(outs)


class PlainNumber(nn.Module):
    """No loop, but the length as a plain number."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, _ = self.rnn(x)
        return y * int(x.size(0)), y.sum(0) / len(x)


@pytest.mark.parametrize(
    ("model", "inputs", "scans"),
    [
        (ByIndex, TIME_FIRST, 1),
        (WithoutState, TIME_FIRST, 1),
        (BatchFirst, BATCH_FIRST, 1),
        (Backwards, TIME_FIRST, 1),
        (BothWays, TIME_FIRST, 2),
        (LayersInsideTheLoop, TIME_FIRST, 1),
        (LoopAfterLoop, TIME_FIRST, 2),
        (LayerBetweenLoops, TIME_FIRST, 2),
        (LayerInsideTheLoop, TIME_FIRST, 1),
        (WrittenInPlace, TIME_FIRST, 1),
        (ReadsWhatItWrote, BATCH_FIRST, 1),
        (GrowsByConcatenation, BATCH_FIRST, 1),
        (WithParts, BATCH_FIRST, 1),
        (TeacherForced, PAIR, 1),
        (Attention, PAIR, 1),
        (FreeRunning, PAIR, 2),
        (Normalised, TIME_FIRST, 1),
        (Unfolded, TIME_FIRST, 1),
        (Averaged, TIME_FIRST, 1),
        (CountsItsSteps, TIME_FIRST, 1),
        (LooksTwoStepsBack, TIME_FIRST, 1),
        (KeepsThePreviousInput, TIME_FIRST, 1),
        (FirstStepDiffers, TIME_FIRST, 1),
        (Masked, TIME_FIRST, 1),
        (AfterAConvolution, BATCH_FIRST, 1),
        (ReturnsAnEarlierState, TIME_FIRST, 1),
        (OneCellInTwoLoops, TIME_FIRST, 2),
        (AttendsInEveryStep, {**TIME_FIRST, "memory": "float32[S, N, 6]"}, 1),
        (OneCellForTwoInputs, {**TIME_FIRST, "y": "float32[S, N, 4]"}, 2),
        (StopsAtItsLength, {**TIME_FIRST, "lengths": "int64[N] in 1..T"}, 1),
        (PlainNumber, TIME_FIRST, 0),
        (ByIndex, {"x": "float64[T, N, 4]"}, 1),
        (ByIndex, {"x": "float32[T, 1, 4]"}, 1),
    ],
    ids=lambda part: part.__name__ if isinstance(part, type) else "",
)
def test_a_loop_is_a_scan(model: type[nn.Module], inputs: dict[str, str], scans: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = export_onnx(
        model().double() if "float64" in inputs["x"] else model(), Signature(inputs), tmp_path / "out"
    )
    assert exported.report is not None
    assert exported.report.passed
    nodes = [*onnx.load(tmp_path / "out" / "model.onnx").graph.node]
    # A loop that may have no steps is in a branch.
    branches = [attribute.g for node in nodes if node.op_type == "If" for attribute in node.attribute]
    kinds = Counter(node.op_type for node in [*nodes, *(node for branch in branches for node in branch.node)])
    assert (kinds["Scan"], kinds["Loop"]) == (scans, 0)


class Forgets(Cells):
    def forward(self, x: Tensor) -> Tensor:
        h: Tensor | None = torch.zeros(x.size(1), 6)
        for t in range(x.size(0)):
            h = self.cell(x[t], h) if t % 2 else None
        return x if h is None else h


@pytest.mark.parametrize(
    ("model", "line", "how"),
    [
        (Forgets, "h = self.cell", "one way leaves a tensor float32, the other None"),
    ],
)
def test_a_loop_whose_steps_differ_is_refused(model: type[nn.Module], line: str, how: str, tmp_path: Path) -> None:
    with pytest.raises(CaptureError) as refused:
        export_onnx(model(), Signature(TIME_FIRST), tmp_path / "out")
    source, first = inspect.getsourcelines(model)
    number = first + next(i for i, text in enumerate(source) if text.strip().startswith(line))
    assert f"{Path(__file__).name}:{number} cannot be exported: {how}" in str(refused.value)
    assert not (tmp_path / "out").exists()
