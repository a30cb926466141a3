"""Capture an `nn.Module` as an `ExportedProgram` in which recurrence is whole and every named size symbolic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ..errors import CaptureError, RnnExportError, first_line
from ..pytorch.bind import bind_inputs
from ..pytorch.randomness import check_program
from ..pytorch.source_lines import at, node_line, user_line
from ..spec.signature import Signature
from ..torch_internals.capture import specialized_sizes, taken_for_equal, takes_for_number, violates_constraints
from ..torch_internals.symbols import expression
from .as_eager import answering_as_eager
from .computed_weights import fold_computed_weights
from .control_flow.flow import Flow
from .control_flow.refusals import ControlFlowError, RecursionBySizeError
from .control_flow.rewrite_model import rewritten_model
from .decisions import Decisions, record_decisions
from .exporting import Bounds, BranchError, at_other_sizes, export
from .loops.other_lengths import OtherLengthError
from .loops.repeats import MismatchError
from .loops.rerolling import export_rerolled
from .sorting import drop_sorting
from .squeezes import check_left
from .zero_states import drop_zero_states

# PyTorch captures a Python loop step by step: a longer example is first tried at other sizes.
_LONG = 300


@dataclass(frozen=True)
class Captured:
    """A captured program, the names of its inputs in its order, and the bounds within which it holds.

    Beyond its bounds, such as `{"T": {"max": 300}}`, the model takes another path or cannot run. `limits` has the sizes
    next to which the program itself does: what is right at every other size need not be right there.
    """

    program: ExportedProgram
    inputs: tuple[str, ...]
    bounds: Bounds
    limits: Mapping[str, Sequence[int]] = field(default_factory=dict)


class CollapsedError(CaptureError):
    """The model cannot be captured at this size of `symbols`, and a size that is computed from them is 0 or 1 there."""

    def __init__(self, message: str, symbols: Sequence[str]) -> None:
        super().__init__(message)
        self.symbols = tuple(symbols)


def capture(model: nn.Module, signature: Signature, example: Mapping[str, Tensor]) -> Captured:
    """Capture `model` with each symbolic dimension of `signature` dynamic.

    Args:
        model: in evaluation mode.
        signature: its inputs, named after the arguments of `forward` or in their order.
        example: a tensor per input; the sizes of its symbolic dimensions differ from one another and from 1.

    Raises:
        CollapsedError: the model cannot be captured at the example's sizes; it may be at larger ones.
        CaptureError: the model cannot be captured; the message gives the reason and, if known, the line.
        RandomError: it draws random numbers.
    """
    captured, decisions = _captured_as_eager(model, signature, example)
    if captured is None:
        with record_decisions() as decisions:
            captured = _captured_at_all(model, signature, example, decisions)
    check_left(model, signature, example, decisions.squeezes.left)
    check_program(captured.program)
    drop_zero_states(captured.program)
    drop_sorting(captured.program)
    fold_computed_weights(captured.program)
    return captured


def _captured_as_eager(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor]
) -> tuple[Captured | None, Decisions]:
    """The way that eager takes through a model whose code asks whether it is being captured, where that can be.

    Raises:
        CaptureError: it cannot be captured, and does not ask.
        RandomError: the same.
    """
    with record_decisions() as decisions, answering_as_eager(decisions.questions):
        try:
            captured = _captured_at_all(model, signature, example, decisions)
        except Exception:  # whatever is wrong with that way
            if not decisions.questions.asked:
                raise
            return None, decisions
    has_other_way = decisions.questions.asked and _is_bounded(captured)
    return (None if has_other_way else captured), decisions


def _captured_at_all(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], decisions: Decisions
) -> Captured:
    early = _captured_early(model, signature, example, decisions) if _is_long(signature, example) else None
    return early or _captured(model, signature, example, decisions)


def _captured(model: nn.Module, signature: Signature, example: Mapping[str, Tensor], decisions: Decisions) -> Captured:
    try:
        program, bounds = export(model, signature, example, decisions)
        captured = Captured(program, tuple(bind_inputs(model, signature.inputs).order()), bounds)
        return _with_more(model, signature, example, decisions, captured) or captured
    except Exception as error:  # torch.export raises whatever the captured code raises
        plain = _Refused(error, decisions.specialized_at, decisions.collapsed or takes_for_number(error))
        if not isinstance(error, RnnExportError):
            decisions.questions.tell([user_line(error)])
        flowing = _with_control_flow(model, signature, example, decisions)
        return (
            flowing
            if isinstance(flowing, Captured)
            else _rerolled_or_raise(model, signature, example, decisions, plain, flowing)
        )


@dataclass(frozen=True)
class _Refused:
    """Why a model could not be captured as it stands, and where a size became a number.

    `has_collapsed`: at larger sizes it might be.
    """

    error: Exception
    line: str
    has_collapsed: bool


def _rerolled_or_raise(
    model: nn.Module,
    signature: Signature,
    example: Mapping[str, Tensor],
    decisions: Decisions,
    plain: _Refused,
    flowing: Exception,
) -> Captured:
    """The program with its loops rerolled, where that can be; else the reason that says most.

    Args:
        flowing: why the loops and decisions could not be captured as such.
    """
    error = plain.error
    if isinstance(flowing, RecursionBySizeError):
        raise _explain_flow(flowing) from flowing
    if isinstance(error, RnnExportError) and not isinstance(error, BranchError):
        growing = _with_other_sizes(model, signature, example, decisions, flowing)
        if isinstance(growing, Captured):
            return growing
        raise error
    if alike := taken_for_equal(error, signature.symbols):
        raise CaptureError(
            f"{alike[0]} and {alike[1]} have to be equal: the model holds only where they are. "
            "Name them alike in the inputs."
        ) from error
    try:
        return _rerolled(model, signature, example, error, "" if isinstance(error, BranchError) else plain.line)
    except CaptureError as refused:
        # A loop with a memory copies it in every step, which rerolling spares where nothing reads it before the end.
        growing = _with_other_sizes(model, signature, example, decisions, flowing)
        if isinstance(growing, Captured):
            return growing
        flowing = growing
        if plain.has_collapsed and not isinstance(error, BranchError):
            symbols = specialized_sizes(error, signature.symbols) or signature.symbols
            raise CollapsedError(str(refused), symbols) from refused
        if isinstance(flowing, ControlFlowError) and not isinstance(refused, OtherLengthError):
            raise _explain_flow(flowing) from flowing
        raise


def _with_other_sizes(
    model: nn.Module,
    signature: Signature,
    example: Mapping[str, Tensor],
    decisions: Decisions,
    flowing: Exception,
) -> Captured | Exception:
    """The program with loops that carry tensors of another size in every step, or why the model is refused."""
    growing = _with_control_flow(model, signature, example, decisions, growing=True)
    return growing if isinstance(growing, (Captured, ControlFlowError)) else flowing


def _with_control_flow(
    model: nn.Module,
    signature: Signature,
    example: Mapping[str, Tensor],
    decisions: Decisions,
    *,
    growing: bool = False,
) -> Captured | Exception:
    """The program of a model whose loops and decisions are captured as such, or why they cannot be.

    Loops of a fixed number of steps are kept whole too, unless that is what fails.
    """
    refused: Exception = CaptureError("The model was not captured.")
    far = _far(signature, example)
    attempts = (
        (True, far, False),
        (True, example, False),
        (False, example, False),
        # Last, for it writes what all ways have in common once for each of them.
        (True, far, True),
        (False, example, True),
    )
    has_ways = True
    for fixed_loops, sizes, apart in attempts:
        if apart and not has_ways:
            break
        decisions.fixed.clear()
        try:
            with rewritten_model(model, fixed_loops=fixed_loops, growing=growing, apart=apart) as flow:
                try:
                    program, bounds = export(model, signature, sizes, decisions)
                finally:
                    has_ways = flow.decisions.found
                    decisions.questions.tell(flow.decisions.lines)
            inputs = tuple(bind_inputs(model, signature.inputs).order())
            return Captured(program, inputs, bounds, _limits(program, inputs, signature, flow))
        except RecursionBySizeError as error:
            return error  # in whichever way it is tried
        except Exception as error:  # torch.export raises whatever the captured code raises
            # What one way alone cannot do says less than what the model cannot do as it is.
            refused = refused if apart and isinstance(refused, ControlFlowError) else error
    return refused


def _limits(
    program: ExportedProgram, inputs: Sequence[str], signature: Signature, flow: Flow
) -> Mapping[str, Sequence[int]]:
    """The limits of the decisions that were met, by the names of the sizes that they are about."""
    found: dict[str, Sequence[int]] = {}
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    for name, placeholder in zip(inputs, program.graph_signature.user_inputs, strict=False):
        if not isinstance(placeholder, str):
            continue
        for dim, size in zip(signature.inputs[name].shape, nodes[placeholder].meta["val"].shape, strict=False):
            limits = flow.decisions.limits.get(expression(size), ())
            if limits and dim in signature.symbols:
                found[str(dim)] = sorted(limits)
    return found


# The most elements of an example that is made for a capture alone.
_MOST_ELEMENTS = 10_000_000


def _far(signature: Signature, example: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The example at sizes that computed ones do not happen to equal; a loop that is whole takes no longer there."""
    if (
        len(signature.symbols) > 2
        or sum(map(Tensor.numel, example.values())) * 100 ** len(signature.symbols) > _MOST_ELEMENTS
    ):
        return example
    return at_other_sizes(signature, example)


# So many operations on one line of the user's source are a loop that was unrolled.
_REPEATED = 8


def _with_more(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], decisions: Decisions, captured: Captured
) -> Captured | None:
    """The same model with its loops and decisions as such, where that makes it smaller or lets it take more sizes."""
    nodes = captured.program.graph.nodes
    lines = Counter((node_line(node), node.target) for node in nodes if node.op == "call_function")
    is_bounded = _is_bounded(captured)
    if not is_bounded and max(lines.values(), default=0) < _REPEATED:
        return None
    made = list(decisions.made)
    other = _with_control_flow(model, signature, example, decisions)
    if isinstance(other, Captured) and not _is_bounded(other):
        is_smaller = 2 * _operations(other.program) <= _operations(captured.program)
        if is_bounded or is_smaller:
            return other
    decisions.made[:] = made
    return None


def _is_bounded(captured: Captured) -> bool:
    """Whether a program holds up to some size only."""
    return any("max" in bound for bound in captured.bounds.values())


def _operations(program: ExportedProgram) -> int:
    """How many tensors a program computes."""
    return sum(isinstance(node.meta.get("val"), Tensor) for node in program.graph.nodes if node.op == "call_function")


def _is_long(signature: Signature, example: Mapping[str, Tensor]) -> bool:
    return any(
        isinstance(dim, str) and size > _LONG
        for name, spec in signature.inputs.items()
        for dim, size in zip(spec.shape, example[name].shape, strict=True)
    )


def _captured_early(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], decisions: Decisions
) -> Captured | None:
    """A model with a Python loop, without capturing every step of a long example; None if it is not known to have one.

    A model that also branches on a size may have the loop at other sizes only.
    """
    shorter = at_other_sizes(signature, example)
    try:
        export(model, signature, shorter, decisions)
    except Exception as error:  # torch.export raises whatever the captured code raises
        branches = any(made.is_users and not made.expression.startswith("Eq(") for made in decisions.made)
        if not branches and specialized_sizes(error, signature.symbols):
            plain = _Refused(error, decisions.specialized_at, has_collapsed=False)
            flowing = _with_control_flow(model, signature, shorter, decisions)
            if isinstance(flowing, Captured):
                return flowing
            with suppress(CaptureError):
                return _rerolled_or_raise(model, signature, example, decisions, plain, flowing)
    decisions.fixed.clear()
    return None


def _rerolled(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], error: Exception, specialized_at: str
) -> Captured:
    """Reroll the loops of a model that `torch.export` captures at fixed sizes only; `error` is why it did not."""
    specialized = specialized_sizes(error, signature.symbols)
    symbols = specialized or list(signature.symbols)
    try:
        program, bounds = _reroll_all(model, signature, example, symbols)
    except OtherLengthError:
        raise
    except MismatchError as mismatch:
        raise _explain_mismatch(symbols, mismatch, error) from error
    except Exception as second:  # the model cannot be captured at fixed sizes either
        raise _explain(error, specialized, specialized_at) from second
    if isinstance(error, BranchError) and not any(map(_is_scan, program.graph.nodes)):
        raise error
    return Captured(program, tuple(signature.inputs), bounds)


def _reroll_all(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], symbols: Sequence[str]
) -> tuple[ExportedProgram, Bounds]:
    """Reroll over these sizes, and over further ones that turn out to be specialized as well."""
    try:
        return export_rerolled(model, signature, example, symbols)
    except Exception as error:  # torch.export raises whatever the captured code raises
        more = [name for name in specialized_sizes(error, signature.symbols) if name not in symbols]
        if not more:
            raise
    return _reroll_all(model, signature, example, [*symbols, *more])


def _is_scan(node: torch.fx.Node) -> bool:
    return node.target is torch.ops.higher_order.scan


def _explain_mismatch(symbols: Sequence[str], mismatch: MismatchError, error: Exception) -> CaptureError:
    names = " and ".join(symbols)
    if isinstance(error, BranchError):
        return error
    if mismatch.op is None:
        return CaptureError(f"The model depends on {names} in a way that cannot be exported: {mismatch}.")
    what = getattr(mismatch.op.target, "__name__", str(mismatch.op.target)).partition(".")[0]
    return CaptureError(
        f"The model works for one value of {names} only: it loops over it, but not every step is the same. "
        f"'{what}'{at(node_line(mismatch.op.node))} {mismatch}. "
        "Make all steps the same, or move what differs out of the loop."
    )


def _explain_flow(error: ControlFlowError) -> CaptureError:
    return CaptureError(
        f"A loop or decision of the model{at(user_line(error))} cannot be exported: {error}. {error.remedy}"
    )


def _explain(error: Exception, specialized: Sequence[str], specialized_at: str) -> CaptureError:
    if isinstance(error, CaptureError):
        return error
    if specialized or violates_constraints(error):
        names = " and ".join(specialized) or "a named size"
        return CaptureError(
            f"The model works for one value of {names} only{at(specialized_at)}: a Python loop runs over it, or it is "
            "used as a plain number. Use tensor operations or a recurrent layer there, or give the size as a number in "
            "the input."
        )
    place = at(user_line(error))
    if isinstance(error, GuardOnDataDependentSymNode):
        return CaptureError(
            f"The model turns a computed value into a Python number or truth value{place}, which a graph cannot. "
            "Use tensor operations there, such as torch.where, masked_fill or gather."
        )
    return CaptureError(
        f"torch.export cannot capture the model{place} ({type(error).__name__}: {first_line(error)}). "
        "Replace that operation in forward."
    )
