"""Export a trained model as a user does, and have its package answer with the file in place of its network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rnn_export.parity.float64 import computing_in_float64, float64_copy, in_float64
from torch import Tensor, nn

from .command import rnn_export
from .model import Answer, Trained
from .network import FileNetwork

# A package may add up what the network says, and so its rounding.
_NUMBERS = 1e-4


@dataclass(frozen=True)
class Measured:
    """The parity of an export, and on the real input the largest errors against float64 of PyTorch and of the file."""

    share: float
    cases: int
    reference: str
    scale: float
    of_pytorch: float
    of_file: float
    answers: tuple[Answer, Answer]


def export(model: Trained, folder: Path) -> dict[str, Any]:
    """What `rnn-export onnx ... --json` prints of a file that it has verified."""
    printed = rnn_export("onnx", *model.export(folder), "--out", str(folder / "bundle"), "--json")
    found: dict[str, Any] = json.loads(printed[printed.index("{\n") :])
    return found


def measure(model: Trained, folder: Path) -> Measured:
    report = export(model, folder)["report"]
    network = FileNetwork(folder / "bundle")
    answers = model.answer(None), model.answer(network)
    scale, of_pytorch, of_file = _errors(model.build(), network, network.asked[0])
    return Measured(
        report["largest_error_over_limit"],
        len(report["cases"]),
        report["reference"],
        scale,
        of_pytorch,
        of_file,
        answers,
    )


def _errors(module: nn.Module, network: FileNetwork, asked: tuple[Tensor, ...]) -> tuple[float, float, float]:
    """The largest number of the outputs, and the largest errors of PyTorch and of the file."""
    wide = float64_copy(module.eval())
    assert wide is not None
    with torch.no_grad():
        eager, found = _arrays(module(*asked)), _arrays(network(*asked))
        with computing_in_float64(torch.float32):
            given = in_float64({str(i): tensor for i, tensor in enumerate(asked)})
            exact = _arrays(wide(*given.values()))
    return max(np.abs(each).max() for each in exact), _off(eager, exact), _off(found, exact)


def _arrays(output: Any) -> list[NDArray[np.generic]]:
    return [tensor.numpy() for tensor in (output if isinstance(output, tuple) else (output,))]


def _off(found: list[NDArray[np.generic]], exact: list[NDArray[np.generic]]) -> float:
    return max(float(np.abs(a.astype(np.float64) - b).max()) for a, b in zip(found, exact, strict=True))


def differences(own: Answer, with_file: Answer) -> Iterator[str]:
    """What a package answers otherwise with the file: text and labels have to be the same, numbers to fit."""
    for name, value in own.items():
        other = with_file[name]
        if isinstance(value, np.ndarray):
            if value.shape != other.shape or np.abs(value - other).max() > _NUMBERS:
                yield f"{name} is off by {np.abs(value - other).max():.2g}"
        elif value != other:
            yield f"{name} is {other!r} instead of {value!r}"
