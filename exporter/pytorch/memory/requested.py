"""The request for a model that keeps something from call to call, with that as inputs and outputs of its own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ...errors import LoadError, RnnExportError
from ...spec.signature import Signature, TensorSpec
from ..evaluation import evaluating
from ..first_run import Trial
from ..job import ExportJob, prepare
from ..made_cases import MadeCases
from ..request import ExportRequest, silent
from .arrangement import Arrangement
from .find import Memory, find_memory
from .left_behind import says_left_behind
from .places import Place, copied
from .start import at_start
from .visited import VisitedStates
from .written_parameters import hold_written_parameters

_MADE = "the calls before"


def with_memory(
    request: ExportRequest, seed: int, also: Collection[Place] = (), *, watched: bool = False
) -> ExportRequest:
    """The request with explicit states, where its model keeps something from call to call; else as it is.

    The model of the request is left as it was: what is called is a copy, which was reset.

    Args:
        also: what is known to be written by some call, though ordinary ones may not write it.
        watched: note what a capture of all ways writes, also where no call that was tried writes anything.

    Raises:
        LoadError: the model's forward raises, or is not deterministic.
        CaptureError: what it keeps cannot be carried.
    """
    try:
        start = at_start(request.model)
    except Exception:  # whatever a module's own __deepcopy__ raises; then nothing can be known of its calls
        return request
    with evaluating(start):
        job = _prepared(replace(request, model=copied(start)), seed)
        trial = replace(job.trial, model=start)
        hold_written_parameters(trial, job.traced)
        memory = find_memory(trial, job.traced, also)
    if memory is None and not watched:
        return request
    if memory is None:
        memory = Memory(start, trial.signature, Arrangement((), {}, {}))
    return _explicit(request, memory, trial)


def _prepared(request: ExportRequest, seed: int) -> ExportJob:
    """The job of a model that is as before its first call.

    Raises:
        LoadError: its forward raises, for instance because it is not: an earlier call has left a state.
    """
    try:
        return prepare(request, seed=seed, progress=silent)
    except LoadError as error:
        left = says_left_behind(request.model, lambda without: _runs(replace(request, model=without), seed))
        if not left:
            raise
        raise LoadError(left) from error


def _runs(request: ExportRequest, seed: int) -> bool:
    try:
        prepare(request, seed=seed, progress=silent)
    except RnnExportError:
        return False
    return True


def _explicit(request: ExportRequest, memory: Memory, trial: Trial) -> ExportRequest:
    model, states = memory.explicit(), memory.states
    inputs = {**trial.signature.inputs, **{state.name: TensorSpec(state.dtype, state.shape) for state in states}}
    outputs = [*trial.signature.outputs, *(state.output for state in states)]
    pairs = {**trial.signature.states, **{state.name: state.output for state in states}}
    made = MadeCases(VisitedStates(trial, model), _MADE)
    return ExportRequest(model, Signature(inputs, outputs, pairs), None, request.source, made)
