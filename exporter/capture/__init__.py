"""From an `nn.Module` to an `ExportedProgram` in which recurrence is still whole and every named size symbolic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..errors import CaptureError, RnnExportError, first_line
from ..quiet import quiet
from ..signature import Signature
from .whole import WholeRecurrence
from .zero_states import drop_zero_states

__all__ = ["BakedSizeError", "capture"]


class BakedSizeError(CaptureError):
    """`torch.export` found that a named size can only be the example's: a Python loop ran over it, say."""


def capture(model: nn.Module, signature: Signature, example: Mapping[str, Tensor]) -> ExportedProgram:
    """Capture `model` with each symbolic dimension of `signature` dynamic.

    Args:
        model: in evaluation mode.
        signature: inputs in the order of `forward`'s positional arguments.
        example: a tensor per input, the sizes of whose symbolic dimensions differ from one another and from 1.

    Raises:
        BakedSizeError: the model works at the example's sizes alone.
        CaptureError: `torch.export` cannot capture the model for another reason.
    """
    try:
        with quiet(), torch.no_grad(), WholeRecurrence():
            program = torch.export.export(
                model, tuple(example.values()), dynamic_shapes=_dynamic_shapes(signature), strict=False
            )
            if any(_mutates(node.target) for node in program.graph.nodes):
                program = program.run_decompositions({})
    except RnnExportError:
        raise
    except Exception as error:  # torch.export raises whatever the captured code raises
        raise _explain(error, signature) from error
    drop_zero_states(program)
    return program


def _dynamic_shapes(signature: Signature) -> tuple[dict[int, Any], ...]:
    dims = {name: Dim(name) for name in signature.symbols}
    return tuple(
        {axis: dims[dim] for axis, dim in enumerate(spec.shape) if isinstance(dim, str)}
        for spec in signature.inputs.values()
    )


def _mutates(target: Any) -> bool:
    return isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable


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
