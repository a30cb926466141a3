"""From an `nn.Module` to an `ExportedProgram` in which recurrence is still whole and every named size symbolic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ..errors import CaptureError, RnnExportError, first_line
from ..pytorch.bind import bind_inputs
from ..pytorch.source_lines import at, node_line, user_line
from ..spec.signature import Signature
from .computed_weights import fold_computed_weights
from .decisions import Decisions, deciding
from .exporting import Bounds, BranchError, export
from .loops.repeats import UnlikeError
from .loops.rerolling import export_rolled
from .sizes import at_other_sizes
from .sorting import drop_sorting
from .zero_states import drop_zero_states

# PyTorch captures a Python loop step by step: at more steps than this it is worth a look at fewer first.
_LONG = 300


@dataclass(frozen=True)
class Captured:
    """A captured program, the names of its inputs in its order, and the bounds that the sizes had to be given.

    Bounds are sizes beyond which the model takes another path or cannot run, such as `{"T": {"max": 300}}`.
    """

    program: ExportedProgram
    inputs: tuple[str, ...]
    bounds: Bounds


def capture(model: nn.Module, signature: Signature, example: Mapping[str, Tensor]) -> Captured:
    """Capture `model` with each symbolic dimension of `signature` dynamic.

    Args:
        model: in evaluation mode.
        signature: its inputs, after `forward`'s arguments or in their order.
        example: a tensor per input, the sizes of whose symbolic dimensions differ from one another and from 1.

    Raises:
        CaptureError: the model cannot be captured; the message says why, and where it can, at which line.
    """
    with deciding() as decisions:
        early = _rolled_early(model, signature, example, decisions) if _is_long(signature, example) else None
        captured = early or _captured(model, signature, example, decisions)
    drop_zero_states(captured.program)
    drop_sorting(captured.program)
    fold_computed_weights(captured.program)
    return captured


def _captured(model: nn.Module, signature: Signature, example: Mapping[str, Tensor], decisions: Decisions) -> Captured:
    try:
        program, bounds = export(model, signature, example, decisions)
        return Captured(program, tuple(bind_inputs(model, signature.inputs).order()), bounds)
    except BranchError as error:
        return _rolled(model, signature, example, error, "")
    except RnnExportError:
        raise
    except Exception as error:  # torch.export raises whatever the captured code raises
        return _rolled(model, signature, example, error, decisions.baked_at)


def _is_long(signature: Signature, example: Mapping[str, Tensor]) -> bool:
    return any(
        isinstance(dim, str) and size > _LONG
        for name, spec in signature.inputs.items()
        for dim, size in zip(spec.shape, example[name].shape, strict=True)
    )


def _rolled_early(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], decisions: Decisions
) -> Captured | None:
    """A model that loops in Python, without a capture of every step of a long example; None where it is not known to.

    A model that also decides by a size of its own may loop at other sizes than the example's alone.
    """
    try:
        export(model, signature, at_other_sizes(signature, example), decisions)
    except Exception as error:  # torch.export raises whatever the captured code raises
        branches = any(made.is_users and not made.expression.startswith("Eq(") for made in decisions.made)
        if not branches and any(_is_baked(name, str(error)) for name in signature.symbols):
            with suppress(CaptureError):
                return _rolled(model, signature, example, error, decisions.baked_at)
    decisions.fixed.clear()
    return None


def _rolled(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], error: Exception, baked_at: str
) -> Captured:
    """Capture a model that `torch.export` takes at fixed sizes alone, as it does where a Python loop runs over one."""
    baked = [name for name in signature.symbols if _is_baked(name, str(error))]
    symbols = baked or list(signature.symbols)
    try:
        program, bounds = _roll_all(model, signature, example, symbols)
    except UnlikeError as unlike:
        raise _cannot_roll(symbols, unlike, error) from error
    except Exception as second:  # the model cannot be captured at fixed sizes either
        raise _explain(error, baked, baked_at) from second
    if isinstance(error, BranchError) and not any(map(_is_scan, program.graph.nodes)):
        raise error
    return Captured(program, tuple(signature.inputs), bounds)


def _roll_all(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], symbols: Sequence[str]
) -> tuple[ExportedProgram, Bounds]:
    """Roll over these sizes, and over those that turn out to be fixed too once these are."""
    try:
        return export_rolled(model, signature, example, symbols)
    except Exception as error:  # torch.export raises whatever the captured code raises
        more = [name for name in signature.symbols if name not in symbols and _is_baked(name, str(error))]
        if not more:
            raise
    return _roll_all(model, signature, example, [*symbols, *more])


def _is_baked(name: str, message: str) -> bool:
    return f"Constraints violated ({name})" in message or f"  {name} = " in message


def _is_scan(node: torch.fx.Node) -> bool:
    return node.target is torch.ops.higher_order.scan


def _cannot_roll(symbols: Sequence[str], unlike: UnlikeError, error: Exception) -> CaptureError:
    names = " and ".join(symbols)
    if isinstance(error, BranchError):
        return error
    if unlike.op is None:
        return CaptureError(f"The model depends on {names} in a way that cannot be exported: {unlike}.")
    what = getattr(unlike.op.target, "__name__", str(unlike.op.target)).partition(".")[0]
    return CaptureError(
        f"The model works for one value of {names} only: it loops over it, but not every step is the same. "
        f"'{what}'{at(node_line(unlike.op.node))} {unlike}. "
        "Make the steps alike, or put what differs before or after the loop."
    )


def _explain(error: Exception, baked: Sequence[str], baked_at: str) -> CaptureError:
    if isinstance(error, CaptureError):
        return error
    if baked or "Constraints violated" in str(error):
        names = " and ".join(baked) or "a named size"
        return CaptureError(
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
