"""The models that faults are planted in: every kind of layer, each form of it, packed, stateful, loops by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rnn_export import Signature, export_onnx, export_torchscript, load
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

# The sizes that a model of dimensions T and N is captured at.
CAPTURED = {"T": 7, "N": 5}
TORCHSCRIPT = "torchscript"
_SMALL: Mapping[str, Any] = {"input_size": 3, "hidden_size": 4, "num_layers": 2}


@dataclass(frozen=True, eq=False)
class Subject:
    """A model to plant faults in: what is loaded, and how it is exported."""

    name: str
    model: str
    arguments: Mapping[str, Any]
    export: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> str:
        return "model.pt" if self.export.get("method") else "model.onnx"

    def write(self, out: Path) -> nn.Module:
        """Export it, with weights drawn at random, for those that are zero or one at first hide faults."""
        loaded = load(self.model, **self.arguments)
        torch.manual_seed(1)
        for parameter in loaded.model.parameters():
            nn.init.normal_(parameter.data, std=0.4)
        for module in loaded.model.modules():
            if isinstance(module, nn.Embedding):
                module.weight.data[0] = 0
        export = export_torchscript if self.export.get("method") else export_onnx
        export(loaded.model, loaded.signature, out, source=loaded.source, **self.export)  # type: ignore[operator]
        return loaded.model


class Packed(nn.Module):
    """Sequences of unlike length, packed, and padded again."""

    def __init__(self, bidirectional: bool = True) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, bidirectional=bidirectional)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, (h_n, c_n) = self.rnn(packed)
        return pad_packed_sequence(y)[0], h_n, c_n

    def signature(self) -> Signature:
        return Signature({"x": "float32[T, N, 3]", "lengths": "int64[N] in 1..T"}, outputs=["output", "h_n", "c_n"])


class Around(nn.Module):
    """Much of what stands around recurrent layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 6, padding_idx=0)
        self.norm = nn.LayerNorm(6)
        self.rnn = nn.GRU(6, 8, batch_first=True, dropout=0.2, num_layers=2)
        self.activation = nn.LeakyReLU()
        self.fc = nn.Linear(8, 5)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        y, _ = self.rnn(self.norm(self.embedding(tokens)))
        scores = torch.softmax(self.fc(self.activation(y)), -1)
        return scores, scores.argmax(-1)

    def signature(self) -> Signature:
        return Signature({"tokens": "int64[N, T] in 0..11"}, outputs=["scores", "best"])


class Masked(nn.Module):
    """Scores [T, N, 3], a large negative number beyond the end of a sequence."""

    def __init__(self, filler: float) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)
        self.fc = nn.Linear(4, 3)
        self.filler = filler

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        scores = self.fc(self.rnn(x)[0])
        beyond = torch.arange(x.size(0))[:, None] >= lengths
        return scores.masked_fill(beyond[..., None], self.filler)

    def signature(self) -> Signature:
        return Signature({"x": "float32[T, N, 3]", "lengths": "int64[N] in 1..T"}, outputs=["scores"])


class Columns(nn.Module):
    """An output [T, N, 4] whose columns are of very different size."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4)
        self.register_buffer("size", torch.tensor([1e9, 1.0, 1e-3, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0] * self.size

    def signature(self) -> Signature:
        return Signature({"x": "float32[T, N, 3]"}, outputs=["y"])


class GatedDelta(nn.Module):
    """Linear attention with a state that is given, whose keys are as many as its values."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.gates = nn.Linear(3, 12), nn.Linear(3, 2)

    def forward(self, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for step in x:
            q, k, v = self.project(step).split(4, -1)
            keep, rate = torch.sigmoid(self.gates(step)).split(1, -1)
            k = nn.functional.normalize(k, dim=-1)
            h0 = keep[..., None] * h0
            new = rate * (v - torch.einsum("ni,nij->nj", k, h0))
            h0 = h0 + torch.einsum("ni,nj->nij", k, new)
            outputs.append(torch.einsum("ni,nij->nj", q, h0))
        return torch.stack(outputs), h0

    def signature(self) -> Signature:
        return Signature({"x": "float32[T, N, 3]", "h0": "float32[N, 4, 4]"}, outputs=["y", "h_n"])


class Causal(nn.Module):
    """Each channel over its own last steps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 4, groups=3, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.silu(self.conv(x)[..., : x.size(2)])

    def signature(self) -> Signature:
        return Signature({"x": "float32[N, 3, T]"}, outputs=["y"])


_HERE = __name__
SUBJECTS = (
    Subject("RNN", "initial_state", {**_SMALL, "cell": "rnn_relu"}, {"lowering": "native"}),
    Subject("GRU", "initial_state", {**_SMALL, "cell": "gru"}, {"lowering": "native"}),
    Subject("LSTM, both directions", "initial_state", {**_SMALL, "cell": "lstm", "bidirectional": True}),
    Subject("last step of LSTM", "classifier", {**_SMALL, "cell": "lstm"}, {"lowering": "native"}),
    Subject("RNN as Scan", "initial_state", {**_SMALL, "cell": "rnn_tanh"}, {"lowering": "scan"}),
    Subject("GRU as Scan", "tagger", {**_SMALL, "cell": "gru", "bidirectional": True}, {"lowering": "scan"}),
    Subject("LSTM as Scan", "initial_state", {**_SMALL, "cell": "lstm"}, {"lowering": "scan"}),
    Subject("packed LSTM", f"{_HERE}:Packed", {}),
    Subject("packed LSTM as Scan", f"{_HERE}:Packed", {"bidirectional": False}, {"lowering": "scan"}),
    Subject("stream of GRU", "hetero", {"input_size": 3, "hidden_sizes": (4, 4), "cell": "gru"}, {"stateful": True}),
    Subject("stream of RNN", "tagger", {**_SMALL, "cell": "rnn_tanh"}, {"stateful": True}),
    Subject("embedding to argmax", f"{_HERE}:Around", {}),
    Subject("scores with a filler", f"{_HERE}:Masked", {"filler": -1e9}),
    Subject("scores with the smallest filler", f"{_HERE}:Masked", {"filler": -3.4e38}),
    Subject("columns of any size", f"{_HERE}:Columns", {}),
    Subject("loop, one-hot", "scratch", {"vocab_size": 9, "num_hiddens": 8}),
    Subject("loop, gates", "mgu", {"input_size": 3, "hidden_size": 4}),
    Subject("loop, norms", "layernorm_lstm", {"input_size": 3, "hidden_size": 4}),
    Subject("gated delta", f"{_HERE}:GatedDelta", {}),
    Subject("stream of a causal convolution", f"{_HERE}:Causal", {}, {"stateful": True}),
    Subject("TorchScript of GRU", "initial_state", {**_SMALL, "cell": "gru"}, {"method": "script"}),
    Subject("TorchScript of LSTM", "classifier", {**_SMALL, "cell": "lstm"}, {"method": "script"}),
    Subject("TorchScript of RNN", "hetero", {"input_size": 3, "hidden_sizes": (4, 4)}, {"method": "trace"}),
)
# In so many weights outputs do not show everything.
LARGE = Subject("a million weights", "hetero", {})
