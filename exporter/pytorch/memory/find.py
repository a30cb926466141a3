"""Find what a model keeps from call to call, and an arrangement of it as states that computes the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from ...spec.signature import Signature
from ...spec.streams import State, cannot_stream
from ..first_run import Trial
from .agreement import differs
from .arrangement import Arrangement
from .arranging import arrangements, is_made_for_a_batch, with_first_call
from .changing import changing
from .growth import check_growth
from .left_behind import left_behind, made_at
from .places import Place
from .recorded import recorded
from .remembering import Remembering, remembering
from .shared_memory import lasting, parting
from .watching import Watched, moved_later, remembered_while_still, watch


@dataclass(frozen=True)
class Memory:
    """What a model keeps: `start` is the model before its first call, which is called again and again to verify.

    `signature` names the inputs and outputs of a call, without the states.
    """

    start: nn.Module
    signature: Signature
    arrangement: Arrangement

    @property
    def states(self) -> tuple[State, ...]:
        return self.arrangement.states

    def explicit(self) -> Remembering:
        """The model with its states as inputs and outputs."""
        return remembering(self.start, self.signature, self.arrangement)


def find_memory(trial: Trial, sizes: Mapping[str, int], also: Collection[Place] = ()) -> Memory | None:
    """What the model of `trial`, which is as before its first call, keeps from call to call; None if nothing.

    Args:
        sizes: at which it runs.
        also: what is a state too, though the calls that are tried here may not change it.

    Raises:
        CaptureError: what it keeps cannot be carried: it grows, or no value does for what it is before the first call.
    """
    watched = watch(trial, sizes)
    found = changing(watched)
    later = [place for place in moved_later(trial, sizes) if place not in found.places]
    moving = {*later, *found.places} - found.settled
    also = [*dict.fromkeys([*also, *later, *remembered_while_still(trial, watched, moving)])]
    if not found.places and not also:
        return None
    runs = [watched, *_elsewhere(trial, sizes)]
    also = [*dict.fromkeys([*also, *(place for place in found.settled if is_made_for_a_batch(trial, runs, place))])]
    others = [changing(run, also) for run in runs]
    check_growth(found.places, watched)
    lasted = lasting([call.shared for run in runs for call in run.calls])
    shared = {place: view for place, view in lasted.items() if place not in also}
    records = recorded(trial, {place for each in others for place in each.places}, runs)
    ways = [
        arrangement
        for lying in ([shared, {}] if shared else [{}])
        for arrangement in arrangements(trial, runs, others, lying, records)
    ]
    left = made_at(found.places, runs)
    earlier = [*_watched(trial, [{**sizes, **each} for each in left.values()])]
    # What an earlier call has left is no beginning that a first call has as a path of its own.
    ways += [] if left else [with_first_call(trial, arrangement) for arrangement in ways]
    refused = ""
    for arrangement in ways:
        wrong = differs(trial, arrangement, runs)
        if left and (wrong or differs(trial, arrangement, earlier)):
            wrong = left_behind([*left])
        if not wrong and not arrangement.states:  # what the first call changes makes no difference to a later one
            return None
        if not wrong:
            return Memory(trial.model, trial.signature, arrangement)
        refused = refused or wrong
    raise cannot_stream(parting(lasted, also) or refused)


def _elsewhere(trial: Trial, sizes: Mapping[str, int]) -> Iterator[Watched]:
    """The same at other sizes, all of them others than these, and where they are all 1."""
    larger = {name: size + 1 + i for i, (name, size) in enumerate(sizes.items())}
    return _watched(trial, [larger, dict.fromkeys(sizes, 1)] if sizes else [])


def _watched(trial: Trial, sizes: Sequence[Mapping[str, int]]) -> Iterator[Watched]:
    for each in sizes:
        try:
            yield watch(trial, each)
        except Exception:  # what the model does not take at these sizes is no fault of it
            continue
