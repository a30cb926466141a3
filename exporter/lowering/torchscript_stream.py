"""TorchScript that keeps the states of a stream in its buffers: `forward` is a step or a chunk, `reset` begins anew."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import CaptureError
from ..pytorch.run import suppress_output
from ..spec.signature import Signature
from ..spec.streams import State

# What the module has beside its states.
_TAKEN = ("step", "begun", "forward", "reset", "state_inputs", "state_outputs", "state_buffers")


def streaming_archive(archive: bytes, signature: Signature, states: Sequence[State]) -> bytes:
    """An archive that carries the states of a frozen step by itself.

    Args:
        archive: the step, which takes the signature's inputs and returns its outputs, states among both.

    Raises:
        CaptureError: the size of a state is none of the inputs' sizes as they are.
    """
    with suppress_output():  # PyTorch says that TorchScript is deprecated
        return _written(archive, signature, states)


def _written(archive: bytes, signature: Signature, states: Sequence[State]) -> bytes:
    module = nn.Module()
    module.step = torch.jit.load(io.BytesIO(archive))
    buffers = {state.name: _buffer(state) for state in states}
    for state in states:
        least = [1 if isinstance(dim, str) else dim for dim in state.shape]
        values = np.asarray(state.reset, state.dtype)
        reset = torch.from_numpy(np.broadcast_to(values.reshape(least) if values.ndim else values, least).copy())
        module.register_buffer(buffers[state.name], reset)
        module.register_buffer(f"{buffers[state.name]}_reset", reset.clone())
    facts: dict[str, tuple[Any, Any]] = {
        "begun": (False, bool),
        "state_inputs": ([state.name for state in states], list[str]),
        "state_outputs": ([state.output for state in states], list[str]),
        "state_buffers": ([*buffers.values()], list[str]),
    }
    for name, (value, kind) in facts.items():
        setattr(module, name, torch.jit.Attribute(value, kind))
    scripted = torch.jit.script(module.eval())
    scripted.define(_forward(signature, states, buffers))
    scripted.define(_reset(buffers))
    written = io.BytesIO()
    torch.jit.save(scripted, written)
    return written.getvalue()


def _buffer(state: State) -> str:
    name = state.name.replace(".", "_")
    return f"{name}_" if name in _TAKEN else name


def _reset(buffers: Mapping[str, str]) -> str:
    lines = [f"    self.{name} = self.{name}_reset.clone()" for name in buffers.values()]
    return "\n".join(["def reset(self) -> None:", *lines, "    self.begun = False", ""])


def _forward(signature: Signature, states: Sequence[State], buffers: Mapping[str, str]) -> str:
    """The source of a step: begins with the sizes of its inputs, and refuses others until it is reset."""
    kept = {state.name: state for state in states}
    after = {state.output: buffers[state.name] for state in states}
    arguments = {name: name.replace(".", "_") for name in signature.inputs if name not in kept}
    given = ", ".join(f"self.{buffers[name]}" if name in kept else arguments[name] for name in signature.inputs)
    results = [f"self.{after[name]}" if name in after else f"out_{i}" for i, name in enumerate(signature.outputs)]
    returned = [result for result in results if not result.startswith("self.")]
    lines = [f"def forward(self, {', '.join(f'{name}: Tensor' for name in arguments.values())}):"]
    for state in states:
        lines += _sized(state, buffers[state.name], signature, arguments)
    lines.append("    self.begun = True")
    names = [f"after_{i}" if result.startswith("self.") else result for i, result in enumerate(results)]
    lines.append(f"    {', '.join(names)} = self.step({given})")
    lines += [f"    {result} = {name}" for result, name in zip(results, names, strict=True) if result != name]
    return "\n".join([*lines, f"    return {', '.join(returned)}", ""])


def _sized(state: State, buffer: str, signature: Signature, arguments: Mapping[str, str]) -> list[str]:
    if not any(isinstance(dim, str) for dim in state.shape):
        return []
    sizes = [_size(dim, state, signature, arguments) if isinstance(dim, str) else str(dim) for dim in state.shape]
    wanted = f"[{', '.join(sizes)}]"
    return [
        "    if not self.begun:",
        f"        self.{buffer} = self.{buffer}_reset.expand({wanted}).clone()",
        f"    if list(self.{buffer}.shape) != {wanted}:",
        '        raise RuntimeError("The number of sequences is another than before. Call reset() first.")',
    ]


def _size(dim: str, state: State, signature: Signature, arguments: Mapping[str, str]) -> str:
    factors = []
    for factor in dim.split("*"):
        places = (
            f"{argument}.size({signature.inputs[name].shape.index(factor)})"
            for name, argument in arguments.items()
            if factor in signature.inputs[name].shape
        )
        found = factor if factor.isdigit() else next(places, None)
        if found is None:
            raise CaptureError(
                f"State '{state.name}' has the size {dim}, and no input has the size {factor} alone. Name it in one."
            )
        factors.append(found)
    return " * ".join(factors)
