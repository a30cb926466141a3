"""From an `nn.Module` to an `ExportedProgram` in which recurrence is still whole and every named size symbolic."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ..calling import arrange
from ..errors import CaptureError, RnnExportError, first_line
from ..keeping import kept
from ..quiet import quiet
from ..signature import Signature
from ..source_lines import at, user_line
from .computed_weights import fold_computed_weights
from .decisions import Decisions, deciding
from .outputs import returning_tensors
from .sizes import FAR, at_other_sizes
from .stand_ins import StandIns
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
        signature: inputs, after `forward`'s arguments or in their order.
        example: a tensor per input, the sizes of whose symbolic dimensions differ from one another and from 1.

    Raises:
        BakedSizeError: the model works at the example's sizes alone.
        CaptureError: `torch.export` cannot capture the model for another reason.
    """
    with deciding() as decisions:
        try:
            program, bounds = _export_apart(model, signature, example, decisions)
        except RnnExportError:
            raise
        except Exception as error:  # torch.export raises whatever the captured code raises
            raise _explain(error, signature, decisions.baked_at) from error
    drop_zero_states(program)
    fold_computed_weights(program)
    return program, bounds


def _export_apart(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], decisions: Decisions
) -> tuple[ExportedProgram, Bounds]:
    """Capture; where sizes are computed (by strides, padding, chunks) as PyTorch cannot reason about, trust it.

    The second capture is at sizes that are not mistaken for others, far from 1, and takes for true what PyTorch's own
    code has to know of computed sizes; the cases at all sizes tell whether the graph is right there. Decisions of the
    model's own are not taken for true.

    Raises:
        BakedSizeError: the model decides by a size.
    """
    try:
        return _export(model, signature, example, {}, decisions)
    except torch._dynamo.exc.UserError as error:
        if "satisfy the generated guard" not in str(error):
            raise
        far: Bounds = {name: {"min": FAR} for name in signature.symbols}
        try:
            program, bounds = _export(
                model, signature, at_other_sizes(signature, example), far, decisions, trusting=True
            )
        except Exception:  # the first capture's error says more, as it is about the sizes that were given
            raise error from None
    if decisions.branch:
        raise BakedSizeError(
            f"The model takes one path or another by a named size, at {decisions.branch}. Compute it in one way for "
            "all sizes (pad to a multiple, say, or choose with torch.where), or give the size as a number in the input."
        )
    return program, {name: {"max": bound["max"]} for name, bound in bounds.items() if "max" in bound}


def _export(
    model: nn.Module,
    signature: Signature,
    example: Mapping[str, Tensor],
    bounds: Bounds,
    decisions: Decisions,
    *,
    trusting: bool = False,
) -> tuple[ExportedProgram, Bounds]:
    """Capture within these bounds, or within those that the model turns out to need (a convolution's, say)."""
    for _ in range(_NARROWINGS):
        try:
            decisions.made.clear()
            return _export_within(model, signature, example, bounds, trusting=trusting), bounds
        except torch._dynamo.exc.UserError as error:
            narrower = {**bounds, **_suggested_bounds(str(error), bounds)}
            if narrower == bounds:
                raise
            bounds = narrower
    return _export_within(model, signature, example, bounds, trusting=trusting), bounds


def _export_within(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], bounds: Bounds, *, trusting: bool = False
) -> ExportedProgram:
    dims = {name: Dim(name, **bounds.get(name, {})) for name in signature.symbols}
    args, kwargs = arrange(model, signature.inputs).arguments(example)
    collected = ShapesCollection()
    for name, spec in signature.inputs.items():
        collected[example[name]] = {axis: dims[dim] for axis, dim in enumerate(spec.shape) if isinstance(dim, str)}
    shapes = collected.dynamic_shapes(model, args, kwargs)
    with quiet(), torch.no_grad(), kept(model), StandIns(), WholeRecurrence(), returning_tensors(model):
        program = torch.export.export(
            model,
            args,
            kwargs,
            dynamic_shapes=shapes,
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=trusting,
        )
        return program.run_decompositions({}) if any(map(_mutates, program.graph.nodes)) else program


def _suggested_bounds(message: str, bounds: Bounds) -> Bounds:
    """Bounds in lines such as `T = Dim('T', min=3, max=300)`; nothing if another kind of change is suggested.

    Where nothing is suggested, a size that may not be 1 further on (T - 2 after a convolution) is bounded one higher.
    The graph computes such sizes all the same; the cases at these sizes tell whether it is right there.
    """
    suggestions = message.partition("Suggested fixes:")[2].strip().partition("\n\n")[0].splitlines()
    violated = re.search(r"Constraints violated \(([\w, ]+)\)", message)
    if not suggestions and violated and "!= 1" in message:
        return {
            name: {**bounds[name], "min": bounds[name]["min"] + 1}
            for name in violated[1].split(", ")
            if "min" in bounds.get(name, {})
        }
    found = {}
    for line in suggestions:
        match = re.fullmatch(r"\s*(\w+) = Dim\('\w+'((?:, (?:min|max)=\d+)+)\)\s*", line)
        if match is None:
            return {}
        found[match[1]] = {kind: int(number) for kind, number in re.findall(r"(min|max)=(\d+)", match[2])}
    return found


def _mutates(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _explain(error: Exception, signature: Signature, baked_at: str) -> CaptureError:
    text = str(error)
    baked = [name for name in signature.symbols if f"Constraints violated ({name})" in text or f"  {name} = " in text]
    if baked or "Constraints violated" in text:
        names = " and ".join(baked) or "a named size"
        return BakedSizeError(
            f"The model works for one value of {names} only{at(baked_at)}: a Python loop runs over it, or it is used "
            "as a plain number. Use tensor operations or a recurrent layer there, or give the size as a number in the "
            "input."
        )
    place = at(user_line(error))
    if isinstance(error, GuardOnDataDependentSymNode):
        return CaptureError(
            f"The model uses a value that it computes as a plain number or truth{place}, which a graph cannot. "
            "Use tensor operations there, such as torch.where, masked_fill or gather."
        )
    return CaptureError(
        f"torch.export cannot capture the model{place} ({type(error).__name__}: {first_line(error)}). "
        "Replace that operation in forward."
    )
