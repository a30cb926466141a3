"""Small models of several graphs, each with a decoder of its own in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from rnn_export import Part, Transducer
from torch import Tensor, nn

# So that untrained models say more than one thing.
SHARP = 6


class Encoder(nn.Module):
    def __init__(self, hidden: int, *, batch_first: bool = True, bidirectional: bool = False) -> None:
        super().__init__()
        self.rnn = nn.LSTM(6, hidden // (1 + bidirectional), batch_first=batch_first, bidirectional=bidirectional)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0]


class Predictor(nn.Module):
    def __init__(self, tokens: int, hidden: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, hidden)
        self.rnn = nn.LSTM(hidden, hidden, batch_first=True)

    def forward(self, token: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, (h_n, c_n) = self.rnn(self.embed(token), (h0, c0))
        return y[:, 0], h_n, c_n


class Stateless(nn.Module):
    """Reads the last two tokens, as predictors without recurrence do."""

    def __init__(self, tokens: int, hidden: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, hidden)
        self.mix = nn.Conv1d(hidden, hidden, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.mix(self.embed(tokens).transpose(1, 2))[:, :, 0]


class Joiner(nn.Module):
    def __init__(self, tokens: int, hidden: int) -> None:
        super().__init__()
        self.out = nn.Linear(2 * hidden, tokens)

    def forward(self, encoded: Tensor, predicted: Tensor) -> Tensor:
        return SHARP * self.out(torch.tanh(torch.cat([encoded, predicted], -1)))


class RnnTransducer(nn.Module):
    """Graves's RNN-T: blank is 0, at most three symbols to a frame."""

    def __init__(self, tokens: int = 9, hidden: int = 12, **encoder: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.hidden = hidden
        self.encoder = Encoder(hidden, **encoder)
        self.predictor = Predictor(tokens, hidden)
        self.joiner = Joiner(tokens, hidden)

    def greedy(self, x: Tensor) -> list[int]:
        h = c = torch.zeros(1, 1, self.hidden)
        frames, found = self.encoder(x), []
        predicted, *after = self.predictor(torch.tensor([[0]]), h, c)
        for t in range(frames.shape[1]):
            for _ in range(3):
                token = int(self.joiner(frames[:, t], predicted).argmax())
                if token == 0:
                    break
                found.append(token)
                predicted, *after = self.predictor(torch.tensor([[token]]), *after)
        return found

    def parts(self, **encoder: bool) -> dict[str, Part | str]:
        state = f"float32[1, N, {self.hidden}]"
        joined = f"float32[N, {self.hidden}]"
        return {
            "encoder": Part(self.encoder, "x: float32[N, T, 6]", "out", **encoder),  # type: ignore[arg-type]
            "predictor": Part(
                self.predictor, ["token: int64[N, 1] in 0..8", f"h0: {state}", f"c0: {state}"], "out,h_n,c_n"
            ),
            "joiner": Part(self.joiner, [f"encoded: {joined}", f"predicted: {joined}"], "logits"),
        }


WIRING = {"predictor.token": "token", "joiner.encoded": "encoder.out[:, t]", "joiner.predicted": "predictor.out"}
TRANSDUCER = Transducer(blank=0, max_symbols=3, limit=1000)


class Language(nn.Module):
    def __init__(self, kind: type[nn.RNNBase] = nn.GRU, layers: int = 2) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.embed = nn.Embedding(20, 8)
        self.rnn = kind(8, 16, layers, batch_first=True)
        self.out = nn.Linear(16, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        return SHARP * self.out(self.rnn(self.embed(tokens))[0])

    def write(self, prompt: Tensor, limit: int = 40) -> list[int]:
        text: list[int] = prompt[0].tolist()
        begin = len(text)
        while len(text) - begin < limit:
            token = int(self(torch.tensor([text]))[0, -1].argmax())
            if token == 2:
                break
            text.append(token)
        return text[begin:]

    def parts(self) -> dict[str, Part | str]:
        return {"prefill": Part(self, "tokens: int64[N, T] in 0..19", "logits", stateful=True), "step": "prefill"}


class Translator(nn.Module):
    """A decoder with attention, whose state begins where the encoder ends; graphs are methods."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.encoder = nn.GRU(5, 12, batch_first=True)
        self.embed = nn.Embedding(15, 12)
        self.cell = nn.GRUCell(24, 12)
        self.out = nn.Linear(12, 15)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        memory, h = self.encoder(x)
        return memory, h[0]

    def decode(self, token: Tensor, memory: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        weights = torch.softmax((memory * h0[:, None]).sum(-1), -1)
        context = (weights[..., None] * memory).sum(1)
        h = self.cell(torch.cat([self.embed(token), context], -1), h0)
        return SHARP * self.out(h), h

    def greedy(self, x: Tensor) -> list[int]:
        memory, h = self.encode(x)
        token, found = 1, []
        while len(found) < 30:
            logits, h = self.decode(torch.tensor([token]), memory, h)
            token = int(logits.argmax())
            if token == 2:
                break
            found.append(token)
        return found

    def parts(self, names: Sequence[str] = ("encoder", "step")) -> dict[str, Part | str]:
        step = ["token: int64[N] in 0..14", "memory: float32[N, S, 12]", "h0: float32[N, 12]"]
        return {
            names[0]: Part(self.encode, "x: float32[N, S, 5]", "memory,h"),
            names[1]: Part(self.decode, step, "logits,h_n"),
        }


TRANSLATION = {"step.token": "token", "step.memory": "encoder.memory", "step.h0": "encoder.h"}
