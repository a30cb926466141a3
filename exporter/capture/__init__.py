"""From an `nn.Module` to an `ExportedProgram` in which recurrence is still whole and every named size symbolic."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import Node

from ..errors import CaptureError, RnnExportError, first_line
from ..quiet import quiet
from ..signature import Signature
from .packed import symbolic_batch
from .sorting import drop_sorting
from .whole import WholeRecurrence
from .zero_states import drop_zero_states

__all__ = ["BakedSizeError", "Bounds", "capture"]


Bounds = dict[str, dict[str, int]]

# How often a bound may bring forth the next before the capture is given up.
_NARROWINGS = 8


class BakedSizeError(CaptureError):
    """`torch.export` found that a named size can only be the example's: a Python loop ran over it, say."""


def capture(model: nn.Module, signature: Signature, example: Mapping[str, Tensor]) -> tuple[ExportedProgram, Bounds]:
    """Capture `model` with each symbolic dimension of `signature` dynamic; also returns the bounds it had to set.

    Bounds are sizes beyond which the model takes another path or cannot run, such as `{"T": {"max": 300}}`.

    Args:
        model: in evaluation mode.
        signature: inputs in the order of `forward`'s positional arguments.
        example: a tensor per input, the sizes of whose symbolic dimensions differ from one another and from 1.

    Raises:
        BakedSizeError: the model works at the example's sizes alone.
        CaptureError: `torch.export` cannot capture the model for another reason.
    """
    try:
        program, bounds = _export(model, signature, example)
    except RnnExportError:
        raise
    except Exception as error:  # torch.export raises whatever the captured code raises
        raise _explain(error, signature) from error
    drop_zero_states(program)
    drop_sorting(program)
    return program, bounds


def _export(model: nn.Module, signature: Signature, example: Mapping[str, Tensor]) -> tuple[ExportedProgram, Bounds]:
    """Capture with sizes unbounded, or within the bounds that the model turns out to need (a convolution's, say)."""
    bounds: Bounds = {}
    for _ in range(_NARROWINGS):
        try:
            return _export_within(model, signature, example, bounds), bounds
        except torch._dynamo.exc.UserError as error:
            narrower = {**bounds, **_suggested_bounds(str(error), bounds)}
            if narrower == bounds:
                raise
            bounds = narrower
    return _export_within(model, signature, example, bounds), bounds


def _export_within(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], bounds: Bounds
) -> ExportedProgram:
    dims = {name: Dim(name, **bounds.get(name, {})) for name in signature.symbols}
    dynamic_shapes = tuple(
        {axis: dims[dim] for axis, dim in enumerate(spec.shape) if isinstance(dim, str)}
        for spec in signature.inputs.values()
    )
    with quiet(), torch.no_grad(), symbolic_batch(model), WholeRecurrence():
        program = torch.export.export(model, tuple(example.values()), dynamic_shapes=dynamic_shapes, strict=False)
        return program.run_decompositions({}) if any(map(_mutates, program.graph.nodes)) else program


def _suggested_bounds(message: str, bounds: Bounds) -> Bounds:
    """Bounds in lines such as `T = Dim('T', min=3, max=300)`; nothing if another kind of change is suggested.

    Where nothing is suggested, a size that may not be 1 further on (T - 2 after a convolution) is bounded one higher.
    The graph computes such sizes all the same; the cases at these sizes tell whether it is right there.
    """
    suggestions = message.partition("Suggested fixes:")[2].strip().partition("\n\n")[0].splitlines()
    violated = re.search(r"Constraints violated \(([\w, ]+)\)", message)
    if not suggestions and violated and "!= 1" in message:
        narrowed = {name: bounds.get(name, {}) for name in violated[1].split(", ")}
        return {name: {**bound, "min": bound.get("min", 1) + 1} for name, bound in narrowed.items()}
    found = {}
    for line in suggestions:
        match = re.fullmatch(r"\s*(\w+) = Dim\('\w+'((?:, (?:min|max)=\d+)+)\)\s*", line)
        if match is None:
            return {}
        found[match[1]] = {kind: int(number) for kind, number in re.findall(r"(min|max)=(\d+)", match[2])}
    return found


def _mutates(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _explain(error: Exception, signature: Signature) -> CaptureError:
    text = str(error)
    baked = [name for name in signature.symbols if f"Constraints violated ({name})" in text or f"  {name} = " in text]
    if baked or "Constraints violated" in text:
        names = " and ".join(baked) or "a named size"
        return BakedSizeError(
            f"The model works for one value of {names} only: a Python loop runs over it, or it is used as a plain "
            "number. Use tensor operations or a recurrent layer there, or give the size as a number in the input."
        )
    return CaptureError(
        f"torch.export cannot capture the model ({type(error).__name__}: {first_line(error)}). "
        "Replace that operation in forward, or run with --debug to see where it is."
    )
