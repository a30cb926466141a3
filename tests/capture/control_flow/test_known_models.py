"""Models as their authors wrote them: small, with the lists, the states in self and the stops of the originals."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn
from torch.nn import functional

SIZES = ((1, 2), (2, 1), (3, 3), (8, 1), (40, 2))


class Seq2Seq(nn.Module):
    """A decoder that is fed its own word, or the given one by chance."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(4, 6), nn.GRU(6 + 8, 6)
        self.embedding, self.out = nn.Embedding(9, 8), nn.Linear(6, 9)

    def forward(self, x: Tensor, teacher_forcing_ratio: float = 0.0) -> Tensor:
        outputs = torch.zeros(x.size(0), x.size(1), 9)
        memory, hidden = self.encoder(x)
        word = torch.zeros(x.size(1), dtype=torch.long)
        for t in range(1, x.size(0)):
            weights = (memory * hidden).sum(-1).softmax(0).unsqueeze(-1)
            fed = torch.cat((self.embedding(word), (weights * memory).sum(0)), 1)
            output, hidden = self.decoder(fed.unsqueeze(0), hidden)
            outputs[t] = self.out(output.squeeze(0))
            teacher_force = random.random() < teacher_forcing_ratio
            word = word * 0 if teacher_force else outputs[t].argmax(1)
        return outputs


class Tacotron(nn.Module):
    """Frames until all gates say stop, with states in self and a prenet that widens the frame."""

    def __init__(self) -> None:
        super().__init__()
        self.prenet, self.cell = nn.Linear(4, 7), nn.LSTMCell(7 + 4, 5)
        self.query, self.frame, self.gate = nn.Linear(5, 4), nn.Linear(9, 4), nn.Linear(9, 1)

    def decode(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        self.hidden, self.state = self.cell(torch.cat((frame, self.context), -1), (self.hidden, self.state))
        weights = (self.memory * self.query(self.hidden)).sum(-1) - self.cumulative
        self.cumulative += weights.softmax(0)
        self.context = (weights.softmax(0).unsqueeze(-1) * self.memory).sum(0)
        both = torch.cat((self.hidden, self.context), 1)
        return self.frame(both), self.gate(both)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        frame = x.data.new(x.size(1), 4).zero_()
        self.memory, self.context, self.cumulative = x, x.new_zeros(x.size(1), 4), x.new_zeros(x.size(0), x.size(1))
        self.hidden, self.state = x.new_zeros(x.size(1), 5), x.new_zeros(x.size(1), 5)
        frames, gates = [], []
        while True:
            frame = functional.relu(self.prenet(frame))
            made, gate = self.decode(frame)
            frames += [made]
            gates += [gate.squeeze(1)]
            if (torch.sigmoid(gate.data) > 0.55).all() or len(frames) == 12:
                break
            frame = made
        return torch.stack(frames).transpose(0, 1), torch.stack(gates)


class Viterbi(nn.Module):
    """The best path of a CRF, by backtracking over a list."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.transitions = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4, 4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        score, history = self.start + x[0], []
        for i in range(1, x.shape[0]):
            score, indices = (score.unsqueeze(2) + self.transitions + x[i].unsqueeze(1)).max(dim=1)
            history.append(indices)
        best = score.argmax(1)
        path = [best]
        for indices in reversed(history):
            best = indices.gather(1, best.unsqueeze(1)).squeeze(1)
            path.append(best)
        path.reverse()
        return score, torch.stack(path)


class Hmm(nn.Module):
    """The forward algorithm, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.randn(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        log_alpha = torch.zeros(x.shape[1], x.shape[0], 4)
        log_alpha[:, 0, :] = x[0]
        for t in range(1, x.shape[0]):
            before = log_alpha[:, t - 1, :].unsqueeze(2) + self.transitions.log_softmax(0)
            log_alpha[:, t, :] = x[t] + torch.logsumexp(before, 1)
        return log_alpha.logsumexp(dim=2)[:, -1]


class Clockwork(nn.Module):
    """Groups of units, each of which moves at every so many steps."""

    def __init__(self) -> None:
        super().__init__()
        self.periods, self.inputs, self.recurrent = [1, 2, 4], nn.Linear(4, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        h, outs = x.new_zeros(x.size(1), 6), []
        for t in range(x.size(0)):
            active = 0
            for period in self.periods:
                if t % period == 0:
                    active += 1
            new = torch.tanh(self.inputs(x[t]) + self.recurrent(h))
            h = torch.cat([new[:, : active * 2], h[:, active * 2 :]], 1)
            outs.append(h)
        return torch.stack(outs, 0)


class Belief(NamedTuple):
    deter: Tensor
    stoch: Tensor


class WorldModel(nn.Module):
    """Named tuples as state, and lists of them taken apart by zip(*...)."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.posterior = nn.GRUCell(4 + 3, 6), nn.Linear(6 + 4, 6)

    def forward(self, x: Tensor) -> tuple[Belief, Tensor]:
        belief = Belief(x.new_zeros(x.size(1), 6), x.new_zeros(x.size(1), 3))
        beliefs, deviations = [], []
        for t in range(x.size(0)):
            belief = Belief(*(part * 0.9 for part in belief))
            deter = self.cell(torch.cat([x[t], belief.stoch], -1), belief.deter)
            mean, deviation = torch.chunk(self.posterior(torch.cat([deter, x[t]], 1)), 2, dim=1)
            belief = Belief(deter, mean)
            beliefs.append(belief)
            deviations.append(functional.softplus(deviation) + 0.1)
        return Belief(*[torch.stack(parts, 0) for parts in zip(*beliefs, strict=True)]), torch.stack(deviations)


class Halting(nn.Module):
    """Adaptive computation time: steps until every position has halted."""

    def __init__(self) -> None:
        super().__init__()
        self.p, self.fn = nn.Linear(4, 1), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        halted, updates, total, state, step = torch.zeros(x.shape[:2]), torch.zeros(x.shape[:2]), x * 0, x, 0
        while ((halted < 0.9) & (updates < 6)).byte().any():
            running = (halted < 0.9).float()
            halted = halted + torch.sigmoid(self.p(state)).squeeze(-1) * running
            updates = updates + running
            state = torch.tanh(self.fn(state))
            total = total + state * running.unsqueeze(-1)
            step += 1
        return total, updates


MODELS = [Seq2Seq, Tacotron, Viterbi, Hmm, Clockwork, WorldModel, Halting]


@pytest.mark.parametrize("model", MODELS)
def test_each_is_right_at_every_length(model: type[nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    given = translated(model().eval(), Signature({"x": "float32[T, N, 4]"}), cases)
    file = written(given, "auto", tmp_path / "model.onnx")
    assert len(file.graph.node) < 100
