"""What people write into a forward that has nothing to do with what it computes."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Variable

from .form import TOKENS, X, form

log = logging.getLogger(__name__)


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden_size, self.num_layers = 4, 2
        self.rnn = nn.GRU(3, 4, 2, batch_first=True)
        self.fc = nn.Linear(4, 2)


@form(X)
class HiddenKept(Base):
    """Its hidden state is an attribute that forward sets anew."""

    def init_hidden(self, batch: int) -> Tensor:
        return torch.zeros(2, batch, 4)

    def forward(self, x: Tensor) -> Tensor:
        self.hidden = self.init_hidden(x.size(0))
        y, self.hidden = self.rnn(x, self.hidden)
        return self.fc(y)


@form(X)
class HiddenPair(nn.Module):
    """An LSTM's pair of states as an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.hidden_cell: Any = (torch.zeros(1, 1, 4), torch.zeros(1, 1, 4))

    def forward(self, x: Tensor) -> Tensor:
        self.hidden_cell = (torch.zeros(1, x.size(0), 4), torch.zeros(1, x.size(0), 4))
        y, self.hidden_cell = self.lstm(x, self.hidden_cell)
        return y[:, -1]


@form(X)
class KeepsFeatures(Base):
    """It keeps what it computed, for a plot or a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.features: dict[str, Tensor] = {}
        self.steps: list[Any] = []

    def forward(self, x: Tensor) -> Tensor:
        y, h = self.rnn(x)
        self.features["y"] = y
        self.last = h
        self.steps.append(h)
        return self.fc(y)


@form(X)
class Counts(Base):
    """It counts its calls, in a buffer and in an attribute."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.number = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.number += 1
        return self.fc(self.rnn(x)[0])


@form(X)
class InitFromParameters(Base):
    def init_hidden(self, batch_size: int) -> Tensor:
        weight = next(self.parameters()).data
        return weight.new(self.num_layers, batch_size, self.hidden_size).zero_()

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.rnn(x, self.init_hidden(x.size(0)))
        return self.fc(out[:, -1, :])


@form(X)
class Devices(Base):
    def __init__(self) -> None:
        super().__init__()
        self.device = torch.device("cpu")

    def forward(self, x: Tensor) -> Tensor:
        h0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size, device=x.device).to(self.device)
        if x.is_cuda:
            h0 = h0.cuda()
        out, _ = self.rnn(x, h0.detach())
        return self.fc(out)


@form(X)
class RequiresGrad(Base):
    def forward(self, x: Tensor) -> Tensor:
        h0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size).requires_grad_()
        c0 = Variable(torch.zeros(self.num_layers, x.size(0), self.hidden_size))
        out, _ = self.rnn(x, h0 + c0)
        return self.fc(out)


@form(X)
class Talks(Base):
    def forward(self, x: Tensor) -> Tensor:
        batch, steps, size = x.shape
        assert size == 3, f"{size} features"
        assert x.size(-1) == self.rnn.input_size
        log.info("input %s", x.shape)
        log.debug(f"{batch} sequences of {steps}")
        print("x:", x.shape, x.dtype)
        self.rnn.flatten_parameters()
        out, h = self.rnn(x)
        assert out.shape == (batch, steps, 4)
        print(f"out {out.shape[0]} {h.size()}")
        return self.fc(out)


@form(X)
class ChecksSize(Base):
    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 3:
            raise ValueError("three dimensions, please")
        if x.size(0) == 0 or x.size(1) < 1:
            raise ValueError("nothing there")
        return self.fc(self.rnn(x)[0])


@form(X)
class UsesData(Base):
    def forward(self, x: Tensor) -> Tensor:
        scale = self.fc.weight.data.abs().max()
        return self.fc(self.rnn(x.data)[0]) / scale


@form(X)
class Item(Base):
    """A plain number out of a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[0]) * self.scale.item()


@form(X)
class Autocast(Base):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.fc(self.rnn(x.float())[0])


@form(X)
class NoGrad(Base):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            y = self.rnn(x)[0]
        return self.fc(y)


@form(X)
class Inference(Base):
    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[0])


@form(X)
class OptionalState(Base):
    def forward(self, x: Tensor, h0: Tensor | None = None, return_state: bool = False) -> Any:
        y, h = self.rnn(x, h0)
        return (self.fc(y), h) if return_state else self.fc(y)


@form(X)
class LearnedState(Base):
    """A first state that is a parameter, repeated for each sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.h0 = nn.Parameter(torch.randn(2, 1, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x, self.h0.expand(-1, x.size(0), -1).contiguous())[0])


@form(X)
class RepeatedState(LearnedState):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x, self.h0.repeat(1, x.size(0), 1))[0])


@form(X)
class EncodedState(Base):
    """A first state computed from the input."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Linear(3, 8)

    def forward(self, x: Tensor) -> Tensor:
        h0 = torch.tanh(self.start(x.mean(1))).view(-1, 2, 4).transpose(0, 1).contiguous()
        return self.fc(self.rnn(x, h0)[0])


@form(X)
class LoopsOverLayers(nn.Module):
    """Dropout, norms and residuals between layers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.rnns = nn.ModuleList([nn.GRU(3, 3, batch_first=True) for _ in range(3)])
        self.norms = nn.ModuleList([nn.LayerNorm(3) for _ in range(3)])
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        for rnn, norm in zip(self.rnns, self.norms, strict=True):
            x = x + self.dropout(norm(rnn(x)[0]))
        return x


@form(TOKENS)
class Tokens(nn.Module):
    """Words to classes, as tutorials have it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 3, padding_idx=0)
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.fc = nn.Linear(4, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(self.embedding(tokens))
        return torch.log_softmax(self.fc(hidden.squeeze(0)), dim=-1)


@form({"sentence": "int64[T] in 0..9"})
class Tagger(nn.Module):
    """PyTorch's own tutorial on sequence models: one sentence, its words viewed as a batch of one."""

    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(10, 3)
        self.lstm = nn.LSTM(3, 4)
        self.hidden2tag = nn.Linear(4, 2)

    def forward(self, sentence: Tensor) -> Tensor:
        embeds = self.word_embeddings(sentence)
        lstm_out, _ = self.lstm(embeds.view(len(sentence), 1, -1))
        tag_space = self.hidden2tag(lstm_out.view(len(sentence), -1))
        return torch.log_softmax(tag_space, dim=1)


class ExtractLast(nn.Module):
    def forward(self, output: Any) -> Tensor:
        y, _ = output
        return y[:, -1, :]


@form(X)
def sequential() -> nn.Module:
    return nn.Sequential(nn.LSTM(3, 4, batch_first=True), ExtractLast(), nn.Linear(4, 2))
