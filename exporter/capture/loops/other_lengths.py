"""Hold a rerolled module against the model at lengths that were not captured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from ...errors import CaptureError
from ...pytorch.outputs import flatten
from ...pytorch.paths import other_path
from ...pytorch.run import run_eager, suppress_output
from ...pytorch.source_lines import at
from ...spec.signature import Signature
from ..resizing import resized

# How much longer than the captures; of every number up to 9, some leaves each remainder.
_LONGER_BY = (2, 3, 4, 5, 6, 7, 8, 9, 27)

# Two careful computations of one loop stay within this of its outputs' scale over so few steps.
_TOLERANCE = 1e-3


class OtherLengthError(CaptureError):
    """A loop computes something else at a third length than two captures show."""

    def __init__(self, name: str, size: int, line: str) -> None:
        super().__init__(
            f"The model loops over {name}, but computes something else at {name}={size} than its steps at other sizes "
            f"show{at(line)}. Compute the same for all sizes, or give the size as a number in the input."
        )


def check_lengths(
    model: nn.Module,
    signature: Signature,
    example: Mapping[str, Tensor],
    program: ExportedProgram,
    lengths: Mapping[str, int],
) -> None:
    """Run both at further sizes of each symbol in `lengths`, which holds those of the capture.

    Args:
        program: takes its inputs in the signature's order and returns a flat tuple.

    Raises:
        OtherLengthError: they compute different things.
    """
    rerolled = program.module(check_guards=False)
    for name, length in lengths.items():
        for longer in _LONGER_BY:
            sizes = {**lengths, name: length + longer}
            tensors = {key: resized(example[key], spec, sizes) for key, spec in signature.inputs.items()}
            expected = _outputs(model, tensors)
            got = None if expected is None else _rerun(rerolled, tensors)
            if expected is not None and got is not None and not _alike(got, expected):
                captured = {key: resized(example[key], spec, lengths) for key, spec in signature.inputs.items()}
                raise OtherLengthError(name, length + longer, other_path(model, captured, tensors))


def _outputs(model: nn.Module, tensors: Mapping[str, Tensor]) -> Sequence[Tensor] | None:
    """The model's; None where it refuses this size."""
    try:
        return [tensor for _, tensor in flatten(run_eager(model, tensors))]
    except Exception:  # whatever the model's forward raises
        return None


def _rerun(module: nn.Module, tensors: Mapping[str, Tensor]) -> Sequence[Tensor] | None:
    """The program's outputs; None where PyTorch checks that a size is one that it captured, which the file does not."""
    try:
        with suppress_output(), torch.no_grad():
            outputs: Any = module(*(tensor.clone() for tensor in tensors.values()))
            return list(outputs)
    except Exception:  # a graph of PyTorch's raises many kinds
        return None


def _alike(got: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    return all(
        one.shape == other.shape
        and torch.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE * _scale(other), equal_nan=True)
        for one, other in zip(got, expected, strict=True)
    )


def _scale(tensor: Tensor) -> float:
    finite = tensor[tensor.isfinite()]
    return float(finite.abs().max()) if finite.numel() and tensor.is_floating_point() else 0.0
