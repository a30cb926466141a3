"""Find which sequence has which part in linear attention: guessed, then proved.

A guess is held against a graph in float64, at random elements and several sizes. The graph's results are analytic in
its sequences, and those of the operator's definition too: they differ nearly everywhere if they differ anywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from ..graph import Array
from .algebra import TIME, Axis, Factor
from .axis_names import HEAD, KEY, VALUE, AxisNames, ordered
from .candidate import EQUAL, Roles, is_same, ratio_of
from .definition import Wide
from .in_float64 import Float64Part
from .long_runs import longest_first
from .regions import Lengths, Region

# Lengths that it is proved at, besides those that the graph was measured at.
_SHORT = (1, 2, 3, 17, 33)
_MOST_SOURCES = 6


def find_roles(lengths: Lengths, region: Region) -> Roles | None:
    """The roles of a region's sources, proved; None if no operator computes its output."""
    if len(region.sources) > _MOST_SOURCES:
        return None
    try:
        trial = _Trial(lengths, region)
        return next((found for guess in trial.guesses() if (found := trial.proved(guess)) is not None), None)
    except Exception:  # onnxruntime raises classes of its own, such as for an operator that has no float64 kernel
        return None


class _Trial:
    """Runs a region on any sequences, and compares."""

    def __init__(self, lengths: Lengths, region: Region) -> None:
        self._lengths, self._region = lengths, region
        names = [str(value.name) for value in (*region.sources, *region.sized)]
        self._part = Float64Part(lengths.model, names, [str(region.output.name)])
        self._dynamic = AxisNames(lengths)
        self._steps = lengths.steps[0]

    def guesses(self) -> Iterator[Roles]:
        """What the region may be, as far as it shows at the first length."""
        given = self._drawn(self._steps, 0, seed=0)
        queries, values = self._linear(given)
        for axes in self._dynamic.of_output(self._region.output):
            for roles in self._named(axes, queries, values):
                for complete in self._with_others(roles, given):
                    scale = ratio_of(complete.computed(given), self._run(given))
                    guess = replace(complete, scale=scale)
                    if scale and self._agrees(guess, given):
                        yield guess

    def proved(self, roles: Roles) -> Roles | None:
        """The roles, if the region is the operator at every length that it runs at."""
        measured = [(steps, k) for k, steps in enumerate(self._lengths.steps)]
        for seed, (steps, k) in enumerate([*measured, *((steps, steps % 2) for steps in _SHORT)]):
            given = self._drawn(steps, k, seed + 1)
            try:
                self._run(given)
            except Exception:  # it takes whole chunks only
                if (steps, k) in measured:
                    return None
                continue
            if not self._agrees(roles, given):
                return None
        return roles if self._holds_at_length(roles) else None

    def _holds_at_length(self, roles: Roles) -> bool:
        """Whether it is the operator at the longest that it is run at, which is further than any constant of it says.

        A mask that ends there, or a table that has no more rows, may be one for shorter sequences.
        """
        for steps in longest_first(self._lengths, self._region):
            given = self._drawn(steps, 0, steps)
            try:
                self._run(given)
            except Exception:  # a table has fewer rows, or it takes whole chunks only
                continue
            return self._agrees(roles, given)
        return False

    def _run(self, given: Mapping[str, Array]) -> Wide:
        return self._part.run(given)[0]

    def _drawn(self, steps: int, k: int, seed: int) -> dict[str, Array]:
        """Elements of the sources at a length, and the other sizes of a run."""
        random = np.random.default_rng(seed)
        found: dict[str, Array] = {}
        for value in (*self._region.sources, *self._region.sized):
            times = self._lengths.along_time(value)
            shape = [steps if at in times else axis[k] for at, axis in enumerate(self._lengths.of(value))]
            if value in self._region.sources:
                found[str(value.name)] = random.uniform(-0.5, 0.5, shape)
            else:
                dtype = np.float64 if value.dtype == ir.DataType.FLOAT or value.dtype is None else value.dtype.numpy()
                found[str(value.name)] = np.zeros(shape, dtype)
        return found

    def _linear(self, given: Mapping[str, Array]) -> tuple[list[ir.Value], list[ir.Value]]:
        """The sources that the output is linear in: those of which it reads its own step alone, and the others."""
        plain, own, others = self._run(given), list[ir.Value](), list[ir.Value]()
        (axis,) = self._lengths.along_time(self._region.output)
        for value in self._region.sources:
            array = given[str(value.name)]
            if not is_same(self._run({**given, str(value.name): 2 * array}), 2 * plain):
                continue
            (at,) = self._lengths.along_time(value)
            changed = np.array(array)
            np.moveaxis(changed, at, 0)[0] += 1
            moved = np.moveaxis(self._run({**given, str(value.name): changed}) - plain, axis, 0)
            (others if np.any(np.abs(moved[1:]) > EQUAL * np.abs(plain).max()) else own).append(value)
        return own, others

    def _named(
        self, axes: tuple[Axis, ...], queries: Sequence[ir.Value], values: Sequence[ir.Value]
    ) -> Iterator[Roles]:
        """Query, key and value with names for their axes."""
        named, sources = self._dynamic.named, self._region.sources
        heads = tuple(axis for axis in axes if axis is not None and HEAD <= axis < KEY)
        sizes = self._sizes(self._region.output, axes)
        for query, value in itertools.product(queries, [*values, *([] if VALUE in axes else [None])]):
            for key in sources:
                if key in (query, value):
                    continue
                for q, k in itertools.product(named(query, heads, KEY, sizes), named(key, heads, KEY, sizes)):
                    if self._sizes(query, q.axes)[KEY] != self._sizes(key, k.axes)[KEY]:
                        continue
                    last = VALUE if VALUE in axes else None
                    for v in [None] if value is None else named(value, heads, last, sizes):
                        yield Roles(axes, q, k, v)

    def _with_others(self, roles: Roles, given: Mapping[str, Array]) -> Iterator[Roles]:
        """The same with every way to take what is left as a decay, a rate and weights of the values."""
        taken = [factor.value for factor in (roles.query, roles.key, roles.value) if factor is not None]
        left = [value for value in self._region.sources if value not in taken]
        sizes = {**self._sizes(roles.query.value, roles.query.axes), **self._sizes(self._region.output, roles.axes)}
        named = [
            [
                *self._dynamic.named(value, roles.heads, None, sizes),
                *self._dynamic.named(value, roles.heads, KEY, sizes),
            ]
            for value in left
        ]
        fading = self._fading(roles, given)
        for factors in itertools.product(*named):
            narrow = [factor for factor in factors if KEY not in factor.names]
            for decay, rate in itertools.product([None, *factors], [None, *narrow]):
                rates = self._rates(roles, decay, fading, given)
                for again in (False, True):
                    weights = tuple(each for each in narrow if each is not rate and (each is not decay or again))
                    if {*factors} - {decay, rate, *weights} or (again and decay not in narrow):
                        continue
                    yield replace(roles, decay=decay, rates=rates, rate=rate, weights=weights)

    def _fading(self, roles: Roles, given: Mapping[str, Array]) -> Wide | None:
        """The logarithm of what is left from one step to the next of what the first wrote, by step; None if unknown."""
        fed = dict(given)
        for factor in (roles.key, roles.value, roles.query):
            if factor is not None:
                fed[str(factor.value.name)] = np.ones_like(given[str(factor.value.name)])
        first = np.zeros_like(fed[str(roles.key.value.name)])
        np.moveaxis(first, roles.key.axes.index(TIME), 0)[0] = 1
        fed[str(roles.key.value.name)] = first
        got = ordered(self._run(fed), roles.axes, [*roles.streams, TIME, *roles.heads, VALUE])
        steps = np.moveaxis(got[..., 0], len(roles.streams), 0)[: self._steps]
        with np.errstate(all="ignore"):
            found = np.log(steps[1:] / steps[:-1])
        return found if np.isfinite(found).all() else None

    def _rates(
        self, roles: Roles, decay: Factor | None, fading: Wide | None, given: Mapping[str, Array]
    ) -> Wide | None:
        """What a decay's logarithm is a multiple of, by head, or is itself."""
        if fading is None or (decay is not None and KEY in decay.names):
            return None
        if decay is not None:
            order = [*roles.streams, TIME, *roles.heads]
            own = np.moveaxis(ordered(given[str(decay.value.name)], decay.axes, order), len(roles.streams), 0)
            with np.errstate(all="ignore"):
                fading = fading / own[1:]
        many = len(roles.heads)
        rows = fading.reshape(-1, *fading.shape[fading.ndim - many :]) if many else fading.reshape(-1)
        rates = np.asarray(np.median(rows, 0))
        if decay is None and np.all(np.abs(rates) < EQUAL):
            return None
        rates = np.asarray(rates.flat[0]) if is_same(rates, np.broadcast_to(rates.flat[0], rates.shape)) else rates
        return None if decay is not None and rates.ndim == 0 and abs(rates - 1) < EQUAL else rates

    def _agrees(self, roles: Roles, given: Mapping[str, Array]) -> bool:
        return is_same(roles.scale * roles.computed(given), self._run(given))

    def _sizes(self, value: ir.Value, axes: Sequence[Axis]) -> dict[int, int]:
        return {axis: many[0] for axis, many in zip(axes, self._lengths.of(value), strict=True) if axis is not None}
