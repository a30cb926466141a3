"""From an `nn.Module` to an `ExportedProgram` in which recurrence is still whole and every named size symbolic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.export import ExportedProgram

from ..calling import arrange
from ..errors import CaptureError, RnnExportError, first_line
from ..signature import Signature
from ..source_lines import at, node_line, user_line
from .exporting import Bounds, export
from .rolling import UnlikeError, export_rolled
from .zero_states import drop_zero_states

__all__ = ["Bounds", "Captured", "capture"]


@dataclass(frozen=True)
class Captured:
    """A captured program, the names of its inputs in its order, and the bounds that the sizes had to be given.

    Bounds are sizes beyond which the model takes another path or cannot run, such as `{"T": {"max": 300}}`. `rolled`
    are the sizes over which the model loops in Python, each loop of which is now one `scan`.
    """

    program: ExportedProgram
    inputs: tuple[str, ...]
    bounds: Bounds
    rolled: tuple[str, ...] = ()


def capture(model: nn.Module, signature: Signature, example: Mapping[str, Tensor]) -> Captured:
    """Capture `model` with each symbolic dimension of `signature` dynamic.

    Args:
        model: in evaluation mode.
        signature: its inputs.
        example: a tensor per input, the sizes of whose symbolic dimensions differ from one another and from 1.

    Raises:
        CaptureError: the model cannot be captured; the message says why, and where it can, at which line.
    """
    try:
        program, bounds = export(model, signature, example)
        captured = Captured(program, tuple(arrange(model, signature.inputs).order()), bounds)
    except RnnExportError:
        raise
    except Exception as error:  # torch.export raises whatever the captured code raises
        captured = _rolled(model, signature, example, error)
    drop_zero_states(captured.program)
    return captured


def _rolled(model: nn.Module, signature: Signature, example: Mapping[str, Tensor], error: Exception) -> Captured:
    """Capture a model that `torch.export` takes at fixed sizes alone, as it does where a Python loop runs over one."""
    baked = [name for name in signature.symbols if _is_baked(name, str(error))]
    symbols = tuple(baked or signature.symbols)
    try:
        program, bounds = export_rolled(model, signature, example, symbols)
    except UnlikeError as unlike:
        raise _cannot_roll(symbols, unlike) from error
    except Exception as second:  # the model cannot be captured at fixed sizes either
        raise _explain(error, symbols if baked else ()) from second
    return Captured(program, tuple(signature.inputs), bounds, symbols)


def _is_baked(name: str, message: str) -> bool:
    return f"Constraints violated ({name})" in message or f"  {name} = " in message


def _cannot_roll(symbols: Sequence[str], unlike: UnlikeError) -> CaptureError:
    names = " and ".join(symbols)
    if unlike.op is None:
        return CaptureError(f"The model depends on {names} in a way that cannot be exported: {unlike}.")
    what = getattr(unlike.op.target, "__name__", str(unlike.op.target)).partition(".")[0]
    return CaptureError(
        f"The model works for one value of {names} only: it loops over it, but not every step is the same. "
        f"'{what}'{at(node_line(unlike.op.node))} {unlike}. "
        "Make the steps alike, or put what differs before or after the loop."
    )


def _explain(error: Exception, baked: Sequence[str]) -> CaptureError:
    line = at(user_line(error))
    if baked:
        return CaptureError(
            f"The model works for one value of {' and '.join(baked)} only{line}: it is used as a plain number there. "
            "Use tensor operations or a recurrent layer, or give the size as a number in the input."
        )
    return CaptureError(
        f"torch.export cannot capture the model{line} ({type(error).__name__}: {first_line(error)}). "
        "Replace that operation in forward."
    )
