"""Compile an `nn.Module` to a frozen TorchScript module, by scripting or by tracing."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import CaptureError, first_line
from ..pytorch.bind import InputBinding, bind_inputs
from ..pytorch.outputs import returning_tensors
from ..pytorch.randomness import RandomError, check_script
from ..pytorch.run import preserve_module_state, suppress_output
from .trace_decisions import NO_DECISIONS, TraceDecisions, recording_decisions

Method = Literal["auto", "script", "trace"]


@dataclass(frozen=True)
class Compiled:
    """A frozen module's archive, how it was compiled, and why it was not scripted if that was tried first.

    `decisions` are what a trace took for true of all inputs.
    """

    archive: bytes
    method: Literal["script", "trace"]
    not_scripted: str = ""
    decisions: TraceDecisions = NO_DECISIONS


def compile_torchscript(model: nn.Module, example: Mapping[str, Tensor], method: Method = "auto") -> Compiled:
    """Script or trace `model`, and freeze it; "auto" scripts, and traces where that fails.

    Raises:
        CaptureError: TorchScript cannot compile the model that way.
        RandomError: the model draws random numbers.
    """
    if method == "trace":
        archive, decisions = _trace(model, example)
        return Compiled(archive, "trace", decisions=decisions)
    try:
        return Compiled(_script(model, example), "script")
    except CaptureError as not_scripted:
        if method == "script":
            raise
        try:
            archive, decisions = _trace(model, example)
            return Compiled(archive, "trace", str(not_scripted), decisions)
        except CaptureError as not_traced:
            causes = f"{_reason(not_scripted.__cause__)}; {_reason(not_traced.__cause__)}"
            raise CaptureError(
                f"TorchScript can neither compile nor trace the model ({causes}). Change its forward."
            ) from not_traced


def _script(model: nn.Module, example: Mapping[str, Tensor]) -> bytes:
    if not bind_inputs(model, example).is_plain(tuple(example)):
        raise CaptureError(
            "TorchScript cannot compile the model with these inputs as separate arguments: some are parts of an "
            'argument, or arguments between them are left out. Trace it instead (`method="trace"`).'
        )
    try:
        with suppress_output():
            return _archive(torch.jit.script(model))
    except RandomError:
        raise
    except Exception as error:  # the TorchScript compiler raises many kinds
        raise CaptureError(
            f"TorchScript cannot compile the model ({_reason(error)}). "
            'Trace it instead (`method="trace"`), or change its forward.'
        ) from error


def _trace(model: nn.Module, example: Mapping[str, Tensor]) -> tuple[bytes, TraceDecisions]:
    try:
        with suppress_output(), recording_decisions() as decisions, torch.no_grad():
            with returning_tensors(model), preserve_module_state(model):
                archive = _archive(_traced(model, example))
            return archive, decisions()
    except RandomError:
        raise
    except Exception as error:  # the tracer raises whatever the model's forward raises
        raise CaptureError(
            f"TorchScript cannot trace the model ({_reason(error)}). "
            'Script it instead (`method="script"`), or change its forward.'
        ) from error


def _traced(model: nn.Module, example: Mapping[str, Tensor]) -> torch.jit.ScriptModule:
    binding = bind_inputs(model, example)
    is_plain = binding.is_plain(tuple(example))
    plain = model if is_plain else _Positional(model, binding, tuple(example)).eval()
    inputs = tuple(example.values())
    # A dictionary needs strict=False: the trace keeps the keys that it saw, which the signature fixes anyway.
    strict = not isinstance(plain(*inputs), dict)
    return torch.jit.trace(plain, inputs, check_trace=False, strict=strict)  # type: ignore[no-any-return]


class _Positional(nn.Module):
    """The model with each input as a positional argument."""

    def __init__(self, model: nn.Module, binding: InputBinding, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.binding, self.names = model, binding, names

    def forward(self, *tensors: Tensor) -> object:
        args, kwargs = self.binding.arguments(dict(zip(self.names, tensors, strict=True)))
        return self.model(*args, **kwargs)


def _archive(module: torch.jit.ScriptModule) -> bytes:
    """Freeze and serialize, in memory: PyTorch's own writer ends the process when a disk is full."""
    frozen = torch.jit.freeze(module.eval())
    if not hasattr(frozen, "forward"):
        # Freezing drops a forward that has overloads, as nn.GRU's and nn.LSTM's have.
        raise RuntimeError("its forward has overloads, which freezing drops")
    check_script(frozen.inlined_graph)
    buffer = io.BytesIO()
    torch.jit.save(frozen, buffer)
    return buffer.getvalue()


def _reason(error: BaseException | None) -> str:
    """The compiler's own sentence, without the source listing around it."""
    return "" if error is None else first_line(error).rstrip(":. ")
