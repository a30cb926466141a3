"""Check a model that keeps something from call to call: the model called again and again, beside a file fed its states.

The calls of a case lie along a dimension of their own, before all others, so that the same comparison judges them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..pytorch.bind import bind_inputs
from ..pytorch.memory.places import copied, same
from ..pytorch.memory.remembering import Remembering
from ..pytorch.memory.visited import VisitedStates
from ..pytorch.outputs import flatten
from ..pytorch.run import preserve_module_state, run_on
from ..pytorch.samples import Case, sizes_of
from ..runtimes.session import Session, SessionWrapper
from ..spec.signature import Signature, TensorSpec
from ..spec.streams import StreamSpec
from .cases import DRIFT, counted
from .check import check_case
from .drawing import Drawing
from .expected import expect_inputs, judged_by, measure_standards
from .reference import Oracle
from .report import CaseResult

Array = NDArray[np.generic]

# Calls of the short cases, each at other sizes.
_SHORT = (7, 4, 11)
# Calls of the longest case where a state grows: each is as much slower than the one before as it is longer.
GROWING = 400
# So far apart are the seeds of two cases, and of two calls.
_APART, _BETWEEN = 100_003, 17

# Why a file may be wrong in one call after another though its states are all that the model keeps.
_ELSEWHERE = (
    "its states are all that the model keeps, but what the file computes from them is not what Python does, as with "
    "whole numbers that come to have more than 64 bits on the way"
)


class Again(nn.Module):
    """A model that is called once for each row of its inputs, from its start; its outputs are stacked."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)

    def forward(self, *stacked: Tensor) -> tuple[Tensor, ...]:
        model = copied(self.model)
        binding = bind_inputs(model, self.names)
        returned = []
        for rows in zip(*stacked, strict=True):
            args, kwargs = binding.arguments({name: row.clone() for name, row in zip(self.names, rows, strict=True)})
            returned.append([tensor.clone() for _, tensor in flatten(model(*args, **kwargs))])
        return tuple(torch.stack(outputs) for outputs in zip(*returned, strict=True))


@dataclass(frozen=True)
class Fed(SessionWrapper):
    """A session that is run once for each row of its inputs, and fed back what the model keeps.

    States that the model does not keep from call to call begin anew with each. With `after_reset` other calls come
    before, and then every state is what a stream begins with.
    """

    stream: StreamSpec
    signature: Signature
    after_reset: bool = False

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        calls = [dict(zip(inputs, rows, strict=True)) for rows in zip(*inputs.values(), strict=True)]
        if self.after_reset:
            self._feed(calls[::-1])
        got = self._feed(calls)
        return {name: np.stack([each[name] for each in got]) for name in self.signature.outputs}

    def _feed(self, calls: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
        sizes = sizes_of(self.signature, calls[0])
        begin = {state.name: state.initial(sizes) for state in self.stream.states}
        states, got = begin, []
        for call in calls:
            got.append(self.session.run({**{name: np.ascontiguousarray(row) for name, row in call.items()}, **states}))
            states = {**begin, **{s.name: got[-1][s.output] for s in self.stream.states if s.name in self.stream.kept}}
        return got


def check_calls(
    stream: StreamSpec | None,
    session: Session,
    model: nn.Module,
    drawing: Drawing,
    traced: Mapping[str, int],
    seed: int,
    bound: float = 0.0,
) -> list[CaseResult]:
    """Short runs of calls at several sizes, one of 2,000, and one after a reset; none for a model that keeps nothing.

    Args:
        model: with its states as inputs, as `with_memory` made it.
        drawing: how its inputs are drawn.
        bound: what reduced-precision weights may cost, relative to an output's scale.

    Raises:
        UnavailableError: the runtime cannot run the file at all.
        CaptureError: it is wrong because the model keeps a whole number of more bits than a file has.
    """
    if stream is None or not stream.kept or not isinstance(model, Remembering) or drawing.made is None:
        return []
    assert isinstance(drawing.made.make, VisitedStates)
    signature = _one_call(model, drawing.signature)
    runs = [*_runs(signature, traced, seed, drawing.least, GROWING if stream.grows else DRIFT)]
    many = _stacked(signature)
    oracle = Oracle(Again(model.original, list(signature.inputs)), many)
    items = [
        expect_inputs(oracle, many, _with_calls(case, calls, many), _rows(signature, drawing.made.make, case, calls))
        for case, calls in runs
    ]
    standards = measure_standards(items)
    judged = [judged_by(standards, item) for item in items]
    fed = Fed(session, stream, signature)
    feedings = [(fed, *pair) for pair in zip(judged, runs, strict=True)]
    feedings.append((replace(fed, after_reset=True), judged[0], runs[0]))
    results = [
        replace(check_case(each, item, bound), case=case, fed=_spelled(calls, each))
        for each, item, (case, calls) in feedings
    ]
    if all(result.verdict != "FAIL" for result in results):
        return results
    note = _ELSEWHERE if all(_suffice(model, item.inputs) for item in items) else ""
    return [replace(result, note=note) if result.verdict == "FAIL" and result.outputs else result for result in results]


def _suffice(model: Remembering, stacked: Mapping[str, Array]) -> bool:
    """Whether PyTorch, given the states of a model as inputs, computes what the model itself does call after call.

    Raises:
        CaptureError: a whole number that it keeps comes to have more than 64 bits, so that a file could not hold it.
    """
    called, before = copied(model.original), None
    with preserve_module_state(called):
        for rows in zip(*stacked.values(), strict=True):
            inputs = [torch.from_numpy(row) for row in rows]
            wanted = [tensor for _, tensor in flatten(run_on(called, dict(zip(stacked, inputs, strict=True))))]
            kept = model.states_of(called)
            if before is not None:
                with torch.no_grad():
                    got = model(*inputs, *before)
                if not all(map(same, got, [*wanted, *kept])):
                    return False
            before = kept
    return True


def _spelled(calls: int, fed: Fed) -> str:
    return f"in {calls} calls{' after a reset' if fed.after_reset else ''}"


def _one_call(model: Remembering, signature: Signature) -> Signature:
    """What goes in and out of one call, without states; float16 where the model is."""
    kept = {name for state in model.states for name in (state.name, state.output)}
    inputs = {name: spec for name, spec in signature.inputs.items() if name not in kept}
    return Signature(inputs, [name for name in signature.outputs if name not in kept])


def _runs(
    signature: Signature, traced: Mapping[str, int], seed: int, least: Mapping[str, int], most: int
) -> Iterator[tuple[Case, int]]:
    """Cases of one call's sizes, and how many calls each has; `most` the longest."""
    ones, twos = (counted(signature.symbols, size, least) for size in (1, 2))
    sizes = [{name: traced[name] for name in signature.symbols}, twos, ones] if signature.symbols else [{}]
    for k, (each, calls) in enumerate([*zip(sizes, _SHORT, strict=False), (ones, most)]):
        yield Case(each, "ordinary", seed + _APART * (k + 1)), calls


def _stacked(signature: Signature) -> Signature:
    name = next(name for name in ("calls", "calls_", "calls__") if name not in signature.symbols)
    inputs = {each: TensorSpec(spec.dtype, (name, *spec.shape)) for each, spec in signature.inputs.items()}
    return Signature(inputs, signature.outputs)


def _with_calls(case: Case, calls: int, many: Signature) -> Case:
    return replace(case, sizes={many.symbols[0]: calls, **case.sizes})


def _rows(signature: Signature, visited: VisitedStates, case: Case, calls: int) -> dict[str, Array]:
    """Other inputs for each call, one row of each array."""
    drawn = [visited.inputs(case.sizes, case.seed + _BETWEEN * k) for k in range(calls)]
    return {
        name: np.stack([each[name] for each in drawn]).astype(spec.dtype) for name, spec in signature.inputs.items()
    }
