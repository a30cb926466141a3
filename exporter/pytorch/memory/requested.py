"""The request for a model that keeps something from call to call, with that as inputs and outputs of its own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ...spec.signature import Signature, TensorSpec
from ..evaluation import evaluating
from ..first_run import Trial
from ..job import prepare
from ..made_cases import MadeCases
from ..request import ExportRequest, silent
from .find import Memory, find_memory
from .places import Place, copied
from .start import at_start
from .visited import VisitedStates

_MADE = "the calls before"


def with_memory(request: ExportRequest, seed: int, also: Collection[Place] = ()) -> ExportRequest:
    """The request with explicit states, where its model keeps something from call to call; else as it is.

    The model of the request is left as it was: what is called is a copy, which was reset.

    Args:
        also: what is known to be written by some call, though ordinary ones may not write it.

    Raises:
        LoadError: the model's forward raises, or is not deterministic.
        CaptureError: what it keeps cannot be carried.
    """
    try:
        start = at_start(request.model)
    except Exception:  # whatever a module's own __deepcopy__ raises; then nothing can be known of its calls
        return request
    with evaluating(start):
        job = prepare(replace(request, model=copied(start)), seed=seed, progress=silent)
        trial = replace(job.trial, model=start)
        memory = find_memory(trial, job.traced, also)
    if memory is None:
        return request
    return _explicit(request, memory, trial)


def _explicit(request: ExportRequest, memory: Memory, trial: Trial) -> ExportRequest:
    model, states = memory.explicit(), memory.states
    inputs = {**trial.signature.inputs, **{state.name: TensorSpec(state.dtype, state.shape) for state in states}}
    outputs = [*trial.signature.outputs, *(state.output for state in states)]
    pairs = {**trial.signature.states, **{state.name: state.output for state in states}}
    made = MadeCases(VisitedStates(trial, model), _MADE)
    return ExportRequest(model, Signature(inputs, outputs, pairs), None, request.source, made)
