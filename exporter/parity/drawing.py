"""Where the inputs of cases come from: drawn, cut from an example with random ones beside, or made by the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from torch import nn

from ..errors import InputError
from ..pytorch.made_cases import MadeCases
from ..pytorch.outputs import flatten
from ..pytorch.run import as_tensors, run_eager
from ..pytorch.samples import Case, make_inputs
from ..spec.float_range import FloatRange
from ..spec.signature import Signature, TensorSpec
from ..spec.streams import StreamSpec
from .cases import Bounds, cases_for, limit_cases, long_cases, random_cases, with_least
from .expected import Expected, expect, expect_case, expect_inputs, judged_by, measure_standards
from .reference import Oracle

Array = NDArray[np.generic]

# What is drawn where ordinary values give NaN. Zero is left out, whose logarithm is infinite.
_POSITIVE = FloatRange(low=0.0, high=1.0, above=True)


@dataclass(frozen=True)
class Drawing:
    """How cases are drawn: from the ranges of `signature`, from `example`, or by the caller's `made`.

    `notes` say what is drawn otherwise than the caller may think, `least` the least sizes that the model runs at.
    """

    signature: Signature
    example: Mapping[str, Array] | None = None
    made: MadeCases | None = None
    notes: tuple[str, ...] = ()
    least: Mapping[str, int] = field(default_factory=dict)

    def cases(
        self,
        streams: Sequence[StreamSpec | None],
        traced: Mapping[str, int],
        seed: int,
        bounds: Bounds,
        long: Sequence[int] = (),
        limits: Mapping[str, Sequence[int]] = MappingProxyType({}),
    ) -> list[Case]:
        """Every case to try, the arguments being those of `cases_for`, `long_cases` and `limit_cases`.

        Raises:
            InputError: the seed is negative or beyond 32 bits.
        """
        bounds = with_least(bounds, self.least)
        cases = [
            *cases_for(streams, self.signature, traced, seed, bounds),
            *long_cases(self.signature, long, seed, bounds),
            *limit_cases(self.signature, limits, seed, bounds),
        ]
        cases = [case for case in cases if self.signature.fits(case.sizes)]
        if self.made is not None:
            return _reachable(self.made, [case for case in cases if case.values == "ordinary"])
        beside = [] if self.example is None else random_cases(self.signature, traced, seed, bounds)
        return [*cases, *(case for case in beside if self.signature.fits(case.sizes))]

    def expect(
        self, model: nn.Module, cases: Sequence[Case], advance: Callable[[int], None] = lambda done: None
    ) -> Drawn:
        """Run every case through PyTorch, in the model's precision and in float64.

        Raises:
            InputError: the caller's function does not make the inputs.
        """
        if self.made is None:
            return _beside_example(expect(model, self.signature, cases, self.example, advance), self.notes)
        oracle, found = Oracle(model, self.signature), []
        for case in cases:
            found.append(expect_inputs(oracle, self.signature, case, self.made.inputs(self.signature, case)))
            advance(len(found))
        standards = measure_standards(found)
        return Drawn([judged_by(standards, item) for item in found], self.notes)

    def expect_case(self, oracle: Oracle, case: Case) -> Expected:
        """Run one case through PyTorch; where the caller's function does not make it, it is refused."""
        if self.made is None:
            return expect_case(oracle, self.signature, case, self.example)
        if case.values != "ordinary":
            return Expected(case, {}, None, f"{self.made.name} makes ordinary values alone")
        try:
            return expect_inputs(oracle, self.signature, case, self.made.inputs(self.signature, case))
        except InputError as error:
            return Expected(case, {}, None, str(error))

    def inputs(self, case: Case) -> dict[str, Array]:
        """The inputs of an ordinary case."""
        if self.made is None:
            return make_inputs(self.signature, case, self.example)
        return self.made.inputs(self.signature, case)


@dataclass(frozen=True)
class Drawn:
    """Cases with what PyTorch computes for them, and what should be known of how they were drawn."""

    expected: Sequence[Expected]
    notes: tuple[str, ...] = field(default=())


def draw_for(
    model: nn.Module,
    signature: Signature,
    traced: Mapping[str, int],
    seed: int,
    example: Mapping[str, Array] | None = None,
    made: MadeCases | None = None,
    least: Mapping[str, int] | None = None,
) -> Drawing:
    """How to draw cases for a model: positive values where it gives NaN for ordinary ones, as a logarithm does."""
    drawn = Drawing(signature, example, made, least=least or {})
    free = [name for name, spec in signature.inputs.items() if spec.is_float and not spec.floats]
    if made is not None or not free:
        return drawn
    bounds = with_least({}, drawn.least)
    ordinary = [case for case in cases_for((), signature, traced, seed, bounds) if case.values == "ordinary"]
    cases = ordinary if example is None else random_cases(signature, traced, seed, bounds)
    positive = replace(drawn, signature=_within(signature, free, _POSITIVE))
    tells = example is None or not _gives_nan(model, drawn, ordinary[:1])
    if not _gives_nan(model, drawn, cases) or not tells or _gives_nan(model, positive, cases[:1]):
        return drawn
    listed = ", ".join(f"'{name}'" for name in free)
    beside = "" if example is None else ", beside the example,"
    verb = "is" if len(free) == 1 else "are"
    note = (
        f"PyTorch computes NaN from ordinary values, so that {listed} {verb}{beside} drawn between 0 and 1. "
        f"Write '{free[0]}: {signature.inputs[free[0]]} > 0', or the range that it has, to choose."
    )
    return replace(positive, notes=(note,))


def _reachable(made: MadeCases, cases: Sequence[Case]) -> list[Case]:
    """The cases at sizes that states can have: a window that has been filled is no longer ever."""
    found = [replace(case, sizes=made.reachable(case.sizes)) for case in cases]
    return [*{tuple(case.sizes.values()): case for case in reversed(found)}.values()][::-1]


def _gives_nan(model: nn.Module, drawing: Drawing, cases: Sequence[Case]) -> bool:
    """Whether the first case gives NaN, and most of those that PyTorch runs do: a small one may miss it by chance."""
    found: list[bool] = []
    for case in cases:
        try:
            outputs = [tensor for _, tensor in flatten(run_eager(model, as_tensors(drawing.inputs(case))))]
        except Exception:  # what PyTorch refuses is said where the cases are run
            continue
        found.append(any(bool(tensor.isnan().any()) for tensor in outputs if tensor.is_floating_point()))
        if not found[0]:
            return False
    return sum(found) > len(found) / 2


def _within(signature: Signature, names: Sequence[str], span: FloatRange) -> Signature:
    def spec_of(name: str, spec: TensorSpec) -> TensorSpec:
        return structs.replace(spec, floats=span) if name in names else spec

    inputs = {name: spec_of(name, spec) for name, spec in signature.inputs.items()}
    return Signature(inputs, signature.outputs, signature.states)


def _beside_example(expected: Sequence[Expected], notes: tuple[str, ...]) -> Drawn:
    """Leave out random cases that PyTorch refuses, or makes NaN of where it does not of the example."""
    beside = [item for item in expected if item.case.values == "random"]
    nan_anyway = any(_has_nan(item) for item in expected[:1])
    unfit = [item for item in beside if item.reference is None or (_has_nan(item) and not nan_anyway)]
    if not unfit:
        return Drawn(expected, notes)
    first, names = unfit[0], {item.case.name for item in unfit}
    why = f"refuses them ({first.refused})" if first.reference is None else "computes NaN from them"
    left_out = f"{len(unfit)} of {len(beside)} cases" if len(unfit) < len(beside) else "The cases"
    note = (
        f"{left_out} of random values beside the example are left out: PyTorch {why}. "
        "Describe the values that inputs take, such as '> 0' or 'in 0..27', or make them with `cases=FILE:FUNCTION`."
    )
    return Drawn([item for item in expected if item.case.name not in names], (*notes, note))


def _has_nan(item: Expected) -> bool:
    outputs = {} if item.reference is None else item.reference.eager
    return any(array.dtype.kind == "f" and bool(np.isnan(array).any()) for array in outputs.values())
