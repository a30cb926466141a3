"""Check that a sequence fed in chunks, with states carried, gives what PyTorch computes in one pass.

A chunked run is a `Session` around another one, so the same comparison judges it. An output with a time dimension is
joined along it; one without is taken from the last chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from ..pytorch.samples import sizes_of
from ..runtimes.session import Session, SessionWrapper
from ..spec.dims import Dim
from ..spec.signature import Signature
from ..spec.streams import OutputTiming, StreamSpec
from .check import check, check_case, first_wrong_step
from .compare import largest
from .expected import Expected, output_dims, trimmed_by
from .report import Report

Array = NDArray[np.generic]
Plan = Callable[[int], Sequence[int]]
Dims = Mapping[str, Sequence[Dim]]

# A table lists the lengths of up to this many chunks, and counts more.
_SHOWN = 4


@dataclass(frozen=True)
class Chunked(SessionWrapper):
    """A session that feeds a sequence in chunks of the lengths that `plan` gives, from the states' reset values.

    `dims` are each output's dimensions; a product such as `T*N` is time-major, `N*T` batch-major. With `after_reset`,
    the stream is first fed the sequence in reverse, then reset. Lengths are in units of the steps that a chunk has to
    be a multiple of; what is left of a sequence at its end is not fed.
    """

    stream: StreamSpec
    signature: Signature
    dims: Dims
    plan: Plan
    after_reset: bool = False

    @property
    def time(self) -> str:
        """The dimension that the stream is cut along, which it has to have."""
        assert self.stream.time is not None
        return self.stream.time

    @property
    def leaves_out(self) -> bool:
        """Whether steps that a mask leaves out may not have been read yet, or not be kept any more."""
        return self.stream.masked

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of the whole sequence, without the states that the model's `forward` does not return."""
        if self.after_reset:
            self._feed({name: self._cut(name, array, slice(None, None, -1)) for name, array in inputs.items()})
        parts = self._feed(inputs)
        joined = {name: self._join(name, [part[name] for part in parts], inputs) for name in self.signature.outputs}
        return {name: self._in_time(name, array) for name, array in joined.items()}

    def trimmed(self, item: Expected) -> Expected:
        """What of a whole run a stream of the same sequence gives; no reference if that is nothing."""
        steps, unit = item.case.sizes[self.time], self.stream.multiple
        if item.reference is None or (steps % unit == 0 and not self.stream.timings):
            return item
        if steps < unit:
            return replace(item, reference=None, refused=f"a chunk is a multiple of {unit} steps")
        return trimmed_by(item, lambda name, array: self.seen(name, array, steps))

    def seen(self, name: str, whole: Array, steps: int) -> Array:
        """The elements of a whole run's output that follow from the steps that are fed."""
        axis = self._axis(name)
        if axis is None:
            return whole
        timing = self.stream.timings.get(name, OutputTiming())
        units = steps // self.stream.multiple
        for_each_step = (whole.shape[axis] - timing.extra) * units * self.stream.multiple // steps
        joined = timing.elements * units if timing.elements else for_each_step
        return whole[_along(axis, slice(0, timing.kept(joined)))]

    def _in_time(self, name: str, joined: Array) -> Array:
        """The elements that a whole run has too, from its first."""
        axis = self._axis(name)
        timing = self.stream.timings.get(name)
        if axis is None or timing is None:
            return joined
        return joined[_along(axis, slice(timing.delay, timing.delay + timing.kept(joined.shape[axis])))]

    def _lengths(self, inputs: Mapping[str, Array]) -> Sequence[int]:
        unit = self.stream.multiple
        return [unit * many for many in self.plan(sizes_of(self.signature, inputs)[self.time] // unit)]

    def _feed(self, inputs: Mapping[str, Array]) -> list[dict[str, Array]]:
        sizes = sizes_of(self.signature, inputs)
        states = {state.name: inputs.get(state.name, state.initial(sizes)) for state in self.stream.states}
        parts = []
        start = 0
        for length in self._lengths(inputs):
            chunk = slice(start, start + length)
            cut = {name: self._cut(name, array, chunk) for name, array in inputs.items() if name not in states}
            parts.append(self.session.run({**cut, **states}))
            states = {state.name: parts[-1][state.output] for state in self.stream.states}
            start += length
        return parts

    def _axis(self, name: str) -> int | None:
        """The axis of an output that is joined; what grows is returned whole by every chunk."""
        grown = {state.output for state in self.stream.states if state.grows}
        return None if name in grown else _time_axis(self.dims[name], self.time)

    def _cut(self, name: str, array: Array, steps: slice) -> Array:
        dims = self.signature.inputs[name].shape
        return np.asarray(array[tuple(steps if dim == self.time else slice(None) for dim in dims)], order="C")

    def _join(self, name: str, parts: Sequence[Array], inputs: Mapping[str, Array]) -> Array:
        axis = self._axis(name)
        if axis is None:
            return parts[-1]
        sizes = sizes_of(self.signature, inputs)
        factors = _factors(self.dims[name][axis], self.time)
        lengths = self._lengths(inputs)
        before, after = parts[0].shape[:axis], parts[0].shape[axis + 1 :]
        apart = [
            part.reshape(*before, *({**sizes, self.time: length}[factor] for factor in factors), *after)
            if len(factors) > 1
            else part
            for part, length in zip(parts, lengths, strict=True)
        ]
        return np.concatenate(apart, axis + factors.index(self.time)).reshape(*before, -1, *after)


def _along(axis: int, steps: slice) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, steps)


def in_one_pass(session: Session, stream: StreamSpec, signature: Signature, expected: Sequence[Expected]) -> Chunked:
    """A session that feeds whole sequences from the states' reset values; dimensions are inferred from the cases."""
    dims = element_order(session, stream, signature, expected, output_dims(expected))
    return Chunked(session, stream, signature, dims, lambda T: [T])


def check_stream(
    stream: StreamSpec,
    signature: Signature,
    session: Session,
    expected: Sequence[Expected],
    *,
    artifact: str,
    runtime: str,
    traced: Mapping[str, int],
    seed: int,
    bound: float = 0.0,
    states: Collection[str] = (),
    advance: Callable[[int], None] = lambda done: None,
) -> Report:
    """Run every case in one pass, in chunks of random lengths, one step at a time and after a reset, and judge it.

    The arguments after `signature` are those of `check`. If every case is right in one pass, the report's `first_step`
    is that of the chunked runs.
    """
    whole = in_one_pass(session, stream, signature, expected)
    report = check(
        whole,
        expected,
        artifact=artifact,
        runtime=runtime,
        traced=traced,
        seed=seed,
        bound=bound,
        states=states,
        advance=advance,
    )
    results = []
    for item, fed, plan, after_reset in _feedings(whole.time, stream.multiple, expected):
        chunked = replace(whole, plan=plan, after_reset=after_reset)
        results.append(replace(check_case(chunked, item, bound), fed=fed))
    step = report.first_step if not report.right else first_wrong_step(whole.dims, results, whole.time)
    return replace(report, cases=[*report.cases, *results], first_step=step)


def _feedings(time: str, unit: int, expected: Sequence[Expected]) -> Iterator[tuple[Expected, str, Plan, bool]]:
    """How each case is fed: the case, a description, the lengths of its chunks, and whether after a reset."""
    run = [item for item in expected if item.reference is not None and item.case.sizes[time] // unit > 1]
    for item in run:
        T = item.case.sizes[time] // unit
        lengths = random_lengths(T, item.case.seed)
        if T > 2:
            yield item, describe_chunks([unit * many for many in lengths]), _fixed(lengths), False
        if item.case.values == "ordinary":
            yield item, "one at a time" if unit == 1 else f"{unit} at a time", one_at_a_time, False
    for item in run[:1]:
        lengths = random_lengths(item.case.sizes[time] // unit, item.case.seed)
        yield item, "after a reset", _fixed(lengths), True


def one_at_a_time(T: int) -> Sequence[int]:
    return [1] * T


def _fixed(lengths: Sequence[int]) -> Plan:
    return lambda T: lengths


def random_lengths(T: int, seed: int) -> Sequence[int]:
    """2 to T lengths of at least 1 that add up to T, their number drawn log-uniformly; [1] if T is 1."""
    if T == 1:
        return [1]
    random = np.random.default_rng([seed, T])
    many = round(2 * (T / 2) ** random.random())
    cuts = random.choice(T - 1, many - 1, replace=False) + 1
    return [int(length) for length in np.diff([0, *sorted(cuts), T])]


def describe_chunks(lengths: Sequence[int]) -> str:
    return "as " + " + ".join(map(str, lengths)) if len(lengths) <= _SHOWN else f"in {len(lengths)} chunks"


def _time_axis(dims: Sequence[Dim], time: str) -> int | None:
    """The axis that chunks are joined along: the first that contains time, else the first of unexplained length."""
    known = (axis for axis, dim in enumerate(dims) if isinstance(dim, str) and time in dim.split("*"))
    unknown = (axis for axis, dim in enumerate(dims) if dim is None)
    return next(known, next(unknown, None))


def _factors(dim: Dim, time: str) -> list[str]:
    return dim.split("*") if isinstance(dim, str) else [time]


def element_order(
    session: Session, stream: StreamSpec, signature: Signature, expected: Sequence[Expected], dims: Dims
) -> Dims:
    """The outputs' dimensions, the factors of a product such as `T*N` in the order in which the elements are stored.

    Shapes do not distinguish `T*N` from `N*T`. Feeding a case step by step does: the right order is nearest to PyTorch.
    """
    item = next((item for item in expected if _shows_layout(item, stream)), None)
    if item is None:
        return dims
    for name, output in dims.items():
        layouts = [*product(*(_orders(dim) for dim in output))]
        if len(layouts) > 1:
            try:
                errors = [_error_of(session, stream, signature, {**dims, name: each}, item, name) for each in layouts]
            except Exception:  # whatever the runtime raises here it raises again, and is judged, in the cases
                return dims
            dims = {**dims, name: layouts[errors.index(min(errors))]}
    return dims


def _shows_layout(item: Expected, stream: StreamSpec) -> bool:
    sizes = item.case.sizes
    is_run = item.reference is not None and item.case.values == "ordinary"
    return is_run and min(sizes.values()) > 1 and sizes[str(stream.time)] // stream.multiple > 2


def _error_of(
    session: Session, stream: StreamSpec, signature: Signature, dims: Dims, item: Expected, output: str
) -> float:
    """How far an output is from PyTorch's when the case is fed one step at a time and joined as `dims` say."""
    assert item.reference is not None
    fed = Chunked(session, stream, signature, dims, one_at_a_time)
    expected = fed.trimmed(item).reference
    assert expected is not None
    return _distance(fed.run(item.inputs)[output], expected.eager[output])


def _orders(dim: Dim) -> list[Dim]:
    return ["*".join(order) for order in permutations(dim.split("*"))] if isinstance(dim, str) else [dim]


def _distance(one: Array, other: Array) -> float:
    return largest(one.astype(np.float64) - other.astype(np.float64)) if one.shape == other.shape else float("inf")
