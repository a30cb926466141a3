"""A kind of fault: a function that plants it in a model, or says that it does not apply."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import onnx
import torch

Plant = Callable[[onnx.ModelProto], onnx.ModelProto | None]
PlantScript = Callable[[torch.jit.ScriptModule], torch.jit.ScriptModule | None]

KINDS: list[Kind] = []


@dataclass(frozen=True)
class Kind:
    """A fault's name, what it is, and how it is planted in an ONNX model and in a TorchScript module.

    Each function gets a model of its own to change and gives it back, or None where the fault does not apply.
    """

    name: str
    sentence: str
    in_onnx: Plant | None = None
    in_torchscript: PlantScript | None = None


def kind(plant: Plant) -> Plant:
    """Register a fault of ONNX models; its name is the function's, its sentence the docstring's first line."""
    add(plant, in_onnx=plant)
    return plant


def script_kind(plant: PlantScript) -> PlantScript:
    """Register a fault of TorchScript modules."""
    add(plant, in_torchscript=plant)
    return plant


def add(named: Callable[..., object], in_onnx: Plant | None = None, in_torchscript: PlantScript | None = None) -> None:
    """Register a fault under a function's name, with the first line of its docstring."""
    sentence = (named.__doc__ or "").partition("\n")[0].rstrip(".")
    assert sentence, named
    name = named.__name__.removesuffix("_").replace("_", " ")
    KINDS.append(Kind(name, sentence, in_onnx, in_torchscript))


def names(kinds: Iterable[Kind]) -> list[str]:
    return [each.name for each in kinds]
