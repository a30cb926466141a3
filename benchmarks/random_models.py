"""Models of random kind and settings, each with how it is exported: none of the exports is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Any

import torch
from rnn_export import Signature, load, recur
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

SIZES = (1, 2, 3, 5, 8, 16, 64, 128)
CELLS = ("rnn_tanh", "rnn_relu", "gru", "lstm")
# All weights times this: trained ones are larger than those that PyTorch draws, and enlarge errors.
GAINS = (1.0, 1.0, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class Subject:
    """A model, its signature and the arguments of its export; `torchscript` says which of the two."""

    family: str
    model: nn.Module
    signature: Signature
    options: Mapping[str, Any] = field(default_factory=dict)
    torchscript: bool = False
    gain: float = 1.0

    @property
    def dtype(self) -> str:
        return next(spec.dtype for spec in self.signature.inputs.values() if spec.is_float)


def random_subject(seed: int) -> Subject:
    """The model of a seed."""
    torch.manual_seed(seed)
    chosen = Random(seed)
    family = chosen.choice(list(FAMILIES))
    subject = FAMILIES[family](chosen)
    with torch.no_grad():
        for parameter in subject.model.parameters():
            parameter.mul_(subject.gain)
    return subject


def _layer(chosen: Random, input_size: int, **fixed: Any) -> nn.RNNBase:
    """A layer of random kind, sizes, depth, direction and bias."""
    kind = chosen.choice(CELLS)
    given = {
        "hidden_size": chosen.choice(SIZES),
        "num_layers": chosen.choice((1, 2, 3)),
        "bidirectional": chosen.random() < 0.4,
        "batch_first": chosen.random() < 0.3,
        "bias": chosen.random() < 0.7,
        **fixed,
    }
    if kind == "lstm":
        hidden = given["hidden_size"]
        projected = {"proj_size": chosen.randrange(1, hidden)} if hidden > 1 and chosen.random() < 0.3 else {}
        return nn.LSTM(input_size, **given, **projected)
    if kind == "gru":
        return nn.GRU(input_size, **given)
    return nn.RNN(input_size, **given, nonlinearity=kind.removeprefix("rnn_"))


def _width(layer: nn.RNNBase) -> int:
    return (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)


def _sequence(layer: nn.RNNBase, dtype: str = "float32") -> str:
    dims = "N, T" if layer.batch_first else "T, N"
    return f"{dtype}[{dims}, {layer.input_size}]"


def _lowering(chosen: Random) -> dict[str, Any]:
    return {"lowering": chosen.choice(("auto", "auto", "native", "scan"))}


def _layers(chosen: Random, family: str = "layers", dtype: str = "float32") -> Subject:
    """One layer or stack, as the library has it, from a zero state."""
    layer = _layer(chosen, chosen.choice(SIZES)).to(getattr(torch, dtype))
    options = {} if dtype == "float64" else _lowering(chosen)  # no native kernel of ONNX Runtime takes float64
    return Subject(family, layer, Signature({"x": _sequence(layer, dtype)}), options, gain=chosen.choice(GAINS))


class Started(nn.Module):
    """A layer whose initial state is an input."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor | None = None) -> Any:
        if c0 is None:
            return self.rnn(x, h0)
        y, (h_n, c_n) = self.rnn(x, (h0, c0))
        return y, h_n, c_n


def _started(chosen: Random) -> Subject:
    layer = _layer(chosen, chosen.choice(SIZES))
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    inputs = {"x": _sequence(layer), "h0": f"float32[{count}, N, {layer.proj_size or layer.hidden_size}]"}
    if isinstance(layer, nn.LSTM):
        inputs["c0"] = f"float32[{count}, N, {layer.hidden_size}]"
    states = {name: f"{name[0]}_n" for name in inputs if name != "x"}
    signature = Signature(inputs, outputs=["y", *states.values()], states=states)
    return Subject("initial states", Started(layer), signature, _lowering(chosen), gain=chosen.choice(GAINS))


class Packed(nn.Module):
    """A layer over packed sequences."""

    def __init__(self, rnn: nn.RNNBase, descending: bool) -> None:
        super().__init__()
        self.rnn, self.descending, self.batch_first = rnn, descending, rnn.batch_first

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Any]:
        packed = pack_padded_sequence(x, lengths, self.batch_first, self.descending)
        y, h = self.rnn(packed)
        return pad_packed_sequence(y, self.batch_first)[0], h


def _packed(chosen: Random) -> Subject:
    descending = chosen.random() < 0.3
    layer = _layer(chosen, chosen.choice(SIZES))
    lengths = f"int64[N] in 1..T{' descending' if descending else ''}"
    signature = Signature({"x": _sequence(layer), "lengths": lengths})
    return Subject("packed", Packed(layer, descending), signature, _lowering(chosen), gain=chosen.choice(GAINS))


class Headed(nn.Module):
    """What stands before and behind a recurrence: convolution, norm, pooling, classes and their logarithms."""

    def __init__(self, rnn: nn.RNNBase, convolved: bool, normed: bool, pool: str, classes: int) -> None:
        super().__init__()
        self.rnn, self.pool, width = rnn, pool, _width(rnn)
        self.time = 1 if rnn.batch_first else 0
        self.conv = nn.Conv1d(rnn.input_size, rnn.input_size, 3, padding=1) if convolved else None
        self.norm = nn.LayerNorm(width) if normed else nn.Identity()
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Any:
        if self.conv is not None:
            order = (0, 2, 1) if self.time else (1, 2, 0)
            back = (0, 2, 1) if self.time else (2, 0, 1)
            x = F.gelu(self.conv(x.permute(order))).permute(back)
        y = self.norm(self.rnn(x)[0])
        if self.pool == "mean":
            y = y.mean(self.time)
        elif self.pool == "max":
            y = y.amax(self.time)
        elif self.pool == "last":
            y = y.select(self.time, -1)
        scores = F.log_softmax(self.fc(y), -1)
        return scores, scores.argmax(-1)


def _headed(chosen: Random) -> Subject:
    layer = _layer(chosen, chosen.choice(SIZES))
    pool = chosen.choice(("mean", "max", "last", "none"))
    model = Headed(layer, chosen.random() < 0.5, chosen.random() < 0.5, pool, chosen.choice((2, 3, 10)))
    signature = Signature({"x": _sequence(layer)})
    return Subject("around", model, signature, _lowering(chosen), gain=chosen.choice(GAINS))


class Words(nn.Module):
    """A table of vectors before a recurrence, and the next word behind it."""

    def __init__(self, words: int, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.table, self.rnn, self.fc = nn.Embedding(words, rnn.input_size), rnn, nn.Linear(_width(rnn), words)

    def forward(self, tokens: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.fc(self.rnn(self.table(tokens) * scale)[0])
        return scores, scores.argmax(-1)


def _words(chosen: Random) -> Subject:
    layer, words = _layer(chosen, chosen.choice(SIZES)), chosen.choice((2, 28, 100))
    dims = "N, T" if layer.batch_first else "T, N"
    signature = Signature({"tokens": f"int64[{dims}] in 0..{words - 1}", "scale": "float32[1]"})
    return Subject("words", Words(words, layer), signature, _lowering(chosen), gain=chosen.choice(GAINS))


class Loop(nn.Module):
    """Cells in a loop over time, written by hand: one over the other, forth or back, or by `recur`."""

    def __init__(self, cells: Sequence[nn.Module], way: str, normed: bool, hidden: int) -> None:
        super().__init__()
        self.cells, self.way, self.hidden = nn.ModuleList(cells), way, hidden
        self.norm = nn.LayerNorm(hidden) if normed else nn.Identity()

    def forward(self, x: Tensor) -> Any:
        zeros = torch.zeros(x.size(1), self.hidden, dtype=x.dtype)
        states: list[Any] = [(zeros, zeros) if isinstance(cell, nn.LSTMCell) else zeros for cell in self.cells]
        if self.way == "recur":
            return recur(self.cells[0], x, states[0])
        outs = []
        for step in x.unbind(0) if self.way == "forth" else reversed(x.unbind(0)):
            y = step
            for k, cell in enumerate(self.cells):
                states[k] = cell(y, states[k])
                y = self.norm(states[k][0] if isinstance(states[k], tuple) else states[k])
            outs.append(y)
        return torch.stack(outs), y


def _loop(chosen: Random, family: str = "loops", dtype: str = "float32") -> Subject:
    input_size, hidden = chosen.choice(SIZES), chosen.choice(SIZES)
    kinds: list[Callable[..., nn.Module]] = [nn.RNNCell, nn.GRUCell, nn.LSTMCell]
    way = chosen.choice(("forth", "back", "recur"))
    count = 1 if way == "recur" else chosen.choice((1, 2))
    cells = [chosen.choice(kinds)(input_size if k == 0 else hidden, hidden) for k in range(count)]
    # ONNX has the epsilon of a norm in float32, which a float64 model shows: such an export is rightly failed.
    normed = way != "recur" and chosen.random() < 0.3 and dtype != "float64"
    model = Loop(cells, way, normed, hidden).to(getattr(torch, dtype))
    signature = Signature({"x": f"{dtype}[T, N, {input_size}]"})
    return Subject(family, model, signature, gain=chosen.choice(GAINS))


def _variant(chosen: Random, family: str = "built-in models", *, torchscript: bool = False) -> Subject:
    name = chosen.choice(
        ("scratch", "single", "deep", "classifier", "tagger", "initial_state", "hetero", "layernorm_lstm", "mgu")
    )
    small = SIZES[1:]
    if name == "scratch":
        settings: dict[str, Any] = {"vocab_size": chosen.choice((2, 28)), "num_hiddens": chosen.choice(small)}
    elif name in ("layernorm_lstm", "mgu"):
        settings = {"input_size": chosen.choice(SIZES), "hidden_size": chosen.choice(small)}
    else:
        settings = {
            "input_size": chosen.choice(SIZES),
            "cell": chosen.choice(CELLS),
            "bidirectional": chosen.random() < 0.4,
            "batch_first": chosen.random() < 0.3,
        }
        if name == "hetero":
            settings["hidden_sizes"] = tuple(chosen.choice(small) for _ in range(chosen.randrange(1, 5)))
        else:
            settings["hidden_size"] = chosen.choice(small)
    loaded = load(name, seed=chosen.randrange(1000), **settings)
    return Subject(family, loaded.model, loaded.signature, torchscript=torchscript)


def _stream(chosen: Random) -> Subject:
    """A model that is fed in chunks: a layer, a layer with its state given, a tagger or a loop."""
    kind = chosen.choice(("layer", "loop", "tagger", "unit"))
    gain = chosen.choice(GAINS)
    if kind == "layer":
        layer = _layer(chosen, chosen.choice(SIZES), bidirectional=False)
        return Subject("streams", layer, Signature({"x": _sequence(layer)}), {"stateful": True}, gain=gain)
    if kind == "loop":
        cell, size, hidden = chosen.choice([nn.GRUCell, nn.LSTMCell, nn.RNNCell]), *chosen.choices(SIZES, k=2)
        model = Loop([cell(size, hidden)], "forth", False, hidden)
        return Subject("streams", model, Signature({"x": f"float32[T, N, {size}]"}), {"stateful": True}, gain=gain)
    name = "tagger" if kind == "tagger" else "mgu"
    settings: dict[str, Any] = {}
    if name == "tagger":
        settings = {"cell": chosen.choice(CELLS), "num_layers": chosen.choice((1, 2, 3))}
    loaded = load(
        name, input_size=chosen.choice(SIZES), hidden_size=chosen.choice(SIZES), seed=chosen.randrange(99), **settings
    )
    return Subject("streams", loaded.model, loaded.signature, {"stateful": True}, gain=gain)


def _half(chosen: Random) -> Subject:
    return chosen.choice((_layers, _layers, _loop))(chosen, "float16", "float16")


def _double(chosen: Random) -> Subject:
    return chosen.choice((_layers, _layers, _loop))(chosen, "float64", "float64")


def _torchscript(chosen: Random) -> Subject:
    kind = chosen.choice(("layer", "layer", "packed", "variant"))
    if kind == "variant":
        return _variant(chosen, "TorchScript", torchscript=True)
    subject = _packed(chosen) if kind == "packed" else _layers(chosen, dtype=chosen.choice(("float32", "float64")))
    return Subject("TorchScript", subject.model, subject.signature, torchscript=True, gain=subject.gain)


FAMILIES: Mapping[str, Callable[[Random], Subject]] = MappingProxyType(
    {
        "layers": _layers,
        "initial states": _started,
        "packed": _packed,
        "around": _headed,
        "words": _words,
        "loops": _loop,
        "built-in models": _variant,
        "streams": _stream,
        "float16": _half,
        "float64": _double,
        "TorchScript": _torchscript,
    }
)
