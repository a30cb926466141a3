"""`python -m clients.exported FOLDER` writes bundles for clients: every kind of input, output, state and dtype."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from conftest import SMALL
from planting import plant, write_bundle, wrong_bias
from rnn_export import Signature, export_onnx, load
from torch import Tensor, nn


class Tags(nn.Module):
    """Integers and booleans come out."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.fc(self.rnn(x)[0])
        return logits.argmax(-1), logits[..., 0] > 0


class Learned(nn.Module):
    """The first state is a parameter, the same for every sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.h0 = nn.Parameter(torch.randn(1, 1, 4))
        self.rnn = nn.GRU(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.rnn(x, self.h0.expand(1, x.size(1), 4).contiguous())[0]
        return output


def write_hetero(folder: Path) -> None:
    """The one that is proved, so that its manifest tells how."""
    loaded = load("hetero", **SMALL["hetero"], seed=3)
    export_onnx(loaded.model, loaded.signature, folder, source=loaded.source)


def write_lstm(folder: Path) -> None:
    write_bundle(folder, "single", settings={"cell": "lstm"}, target="webgpu")


def write_scratch(folder: Path) -> None:
    write_bundle(folder, "scratch")


def write_initial_state(folder: Path) -> None:
    write_bundle(folder, "initial_state")


def write_int8(folder: Path) -> None:
    write_bundle(folder, "classifier", settings={"cell": "lstm"}, quantize="int8")


def write_tags(folder: Path) -> None:
    _export(Tags(), {"x": "float32[T, N, 3]"}, ["tags", "positive"], folder)


def write_half(folder: Path) -> None:
    _export(nn.RNN(3, 4).half(), {"x": "float16[T, N, 3]"}, ["output", "h_n"], folder)


def write_double(folder: Path) -> None:
    _export(nn.GRU(3, 4).double(), {"x": "float64[T, N, 3]"}, ["output", "h_n"], folder)


def write_learned_stateful(folder: Path) -> None:
    _export(Learned(), {"x": "float32[T, N, 3]"}, ["output"], folder, stateful=True)


def write_tagger_stateful(folder: Path) -> None:
    """Rows of its output: the steps, and in each the sequences."""
    write_bundle(folder, "tagger", settings={"cell": "lstm"}, stateful=True)


def write_batch_first_stateful(folder: Path) -> None:
    """Rows of its output: the sequences, and in each the steps."""
    write_bundle(folder, "tagger", settings={"batch_first": True}, stateful=True)


def write_scratch_stateful(folder: Path) -> None:
    """Its state is an input that the stored cases hold."""
    write_bundle(folder, "scratch", stateful=True)


def write_wrong(folder: Path) -> None:
    """Its bias is another one, and the hashes fit."""
    plant(write_bundle(folder, "hetero"), wrong_bias)


def _export(model: nn.Module, inputs: dict[str, str], outputs: list[str], folder: Path, **options: bool) -> None:
    export_onnx(model.eval(), Signature(inputs, outputs=outputs), folder, verify=False, **options)  # type: ignore[arg-type]


RIGHT: dict[str, Callable[[Path], None]] = {
    "hetero": write_hetero,
    "lstm": write_lstm,
    "scratch": write_scratch,
    "initial_state": write_initial_state,
    "int8": write_int8,
    "tags": write_tags,
    "half": write_half,
    "double": write_double,
    "learned_stateful": write_learned_stateful,
    "tagger_stateful": write_tagger_stateful,
    "batch_first_stateful": write_batch_first_stateful,
    "scratch_stateful": write_scratch_stateful,
}
STATEFUL = [name for name in RIGHT if name.endswith("_stateful")]


def write_all(folder: Path) -> Path:
    """Write every bundle into a folder of its name; `wrong` is the one that must fail."""
    torch.manual_seed(5)
    for name, write in {**RIGHT, "wrong": write_wrong}.items():
        write(folder / name)
    return folder


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
