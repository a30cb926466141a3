"""Whether a model with its states as inputs and outputs computes, call by call, what the model itself does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...errors import CaptureError, first_line
from ..first_run import Trial
from ..run import run_eager
from .arrangement import Arrangement, as_tensor
from .places import same
from .remembering import Remembering, remembering
from .watching import Watched


def differs(trial: Trial, arrangement: Arrangement, runs: Sequence[Watched]) -> str:
    """What the model with explicit states computes otherwise than the model itself; empty if nothing."""
    model = remembering(trial.model, trial.signature, arrangement)
    for run in runs:
        states = [torch.from_numpy(state.initial(run.sizes)) for state in arrangement.states]
        for k, call in enumerate(run.calls):
            try:
                got = _step(model, call.inputs, states)
            except CaptureError:
                raise
            except Exception as error:  # whatever the model's forward raises
                return f"with its states as inputs its forward raises {type(error).__name__}: {first_line(error)}."
            count = len(call.outputs)
            kept = [as_tensor(slot, call.after[slot.place]) for slot in arrangement.slots]
            wrong = [not same(*pair) for pair in zip(got[:count], call.outputs, strict=True)]
            late = [
                str(slot.place)
                for slot, one, other in zip(arrangement.slots, got[count:], kept, strict=False)
                if not same(one, other)
            ]
            if any(wrong) or late:
                return _why(arrangement, run, k, late)
            states = list(got[count:])
    return ""


def _step(model: Remembering, inputs: Mapping[str, Tensor], states: Sequence[Tensor]) -> tuple[Tensor, ...]:
    names = [*inputs, *(f"states.{i}" for i in range(len(states)))]
    got: tuple[Tensor, ...] = run_eager(model, dict(zip(names, [*inputs.values(), *states], strict=True)))
    return got


def _why(arrangement: Arrangement, run: Watched, k: int, late: Sequence[str]) -> str:
    nowhere = [
        str(slot.place)
        for slot in arrangement.slots
        if not isinstance(run.before.get(slot.place), (Tensor, bool, int, float))
    ]
    if k == 0 and nowhere:
        return (
            f"{' and '.join(nowhere)} is None before the first call, and zeros in its place give another first call. "
            "Register it as a buffer with the values that it begins with, or begin with zeros."
        )
    what = f"{late[0]} is then" if late else "what it returns is then"
    return (
        f"it keeps something from call to call beside its attributes and buffers: with these as inputs, {what} "
        f"another in call {k + 1}. Keep all of it in attributes and buffers of modules."
    )
