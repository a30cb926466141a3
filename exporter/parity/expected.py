"""Run every case through PyTorch: the outputs that a runtime's are compared with, and how far these may be off."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..pytorch.samples import NON_FINITE, ORDINARY, Case, make_inputs, other_inputs
from ..spec.dims import Dim, infer_dims
from ..spec.signature import Signature
from .evidence import Doubt, Judged, disagrees, doubt_of, find_unexplained, shows_little
from .limits import Tolerance, tolerances
from .reference import JITTERS, JITTERS_AT_TIES, Oracle, Reference, RefusedError
from .standards import Standard, Usual, standard_of

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Expected:
    """A case with its inputs and PyTorch's outputs, or why PyTorch refuses it (`refused`).

    `nonfinite_mask` marks, per output, the elements that a non-finite input affects; None where every input is finite.
    `measures` are sizes that depend on the inputs' values, such as `{"max(lengths)": 5, "sum(lengths)": 12}`.
    `tolerances` are those of the floating-point outputs. `ordinary` is the case with ordinary values in place of
    non-finite ones.
    """

    case: Case
    inputs: Mapping[str, Array]
    reference: Reference | None
    refused: str = ""
    nonfinite_mask: Mapping[str, NDArray[np.bool_]] | None = None
    measures: Mapping[str, int] = field(default_factory=dict)
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    ordinary: Expected | None = None


def expect(
    model: nn.Module,
    signature: Signature,
    cases: Sequence[Case],
    example: Mapping[str, Array] | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> list[Expected]:
    """Run every case through PyTorch, in the model's precision and in float64.

    Args:
        example: inputs to cut the cases' values from; None draws random ones.
        advance: called after each case with how many are done.
    """
    oracle = Oracle(model, signature)
    found = []
    for case in cases:
        found.append(expect_case(oracle, signature, case, example))
        advance(len(found))
    standards = measure_standards(found)
    return [judged_by(standards, item) for item in found]


def expect_case(oracle: Oracle, signature: Signature, case: Case, example: Mapping[str, Array] | None) -> Expected:
    """Run one case through PyTorch."""
    if not signature.fits(case.sizes):
        return Expected(case, {}, None, "a size that follows from these is less than 1")
    item = expect_inputs(oracle, signature, case, make_inputs(signature, case, example))
    if item.reference is None or case.values not in NON_FINITE:
        return item
    same = replace(case, values="ordinary")
    ordinary = expect_inputs(oracle, signature, same, make_inputs(signature, same, example))
    if ordinary.reference is None:
        return Expected(case, item.inputs, None, ordinary.refused)
    mask = _nonfinite_mask(item.reference.eager, ordinary.reference.eager)
    return replace(item, nonfinite_mask=mask, ordinary=ordinary)


def expect_inputs(oracle: Oracle, signature: Signature, case: Case, inputs: Mapping[str, Array]) -> Expected:
    """Run these inputs, all finite, through PyTorch in place of the case's own."""
    try:
        jitters = JITTERS if case.values != "saturating" else JITTERS_AT_TIES
        reference = oracle.compute(inputs, jitters, other_inputs(signature, inputs))
        return Expected(case, inputs, reference, measures=_measures(signature, inputs))
    except RefusedError as refused:
        return Expected(case, inputs, None, str(refused))


def _measures(signature: Signature, inputs: Mapping[str, Array]) -> dict[str, int]:
    lengths = [name for name, spec in signature.inputs.items() if spec.has_lengths and inputs[name].size]
    return {
        f"{measure.__name__}({name})": int(measure(inputs[name])) for name in lengths for measure in (np.max, np.sum)
    }


def _nonfinite_mask(found: Mapping[str, Array], ordinary: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
    """Where PyTorch's outputs change when an ordinary value replaces the non-finite one.

    Outputs that take few values may stay equal by chance, so integers count as affected everywhere, and so does every
    element whose value occurs more than once, such as those that a threshold clips.
    """
    return {name: _affected(eager, ordinary[name]) for name, eager in found.items()}


def _affected(eager: Array, ordinary: Array) -> NDArray[np.bool_]:
    if eager.dtype.kind != "f" or eager.shape != ordinary.shape:
        return np.ones(eager.shape, bool)
    _, places, counts = np.unique(eager, return_inverse=True, return_counts=True)
    alike = (counts > 1)[places].reshape(eager.shape)
    return np.asarray((eager != ordinary) | alike)


Standards = Mapping[str, Standard]


def measure_standards(expected: Sequence[Expected], usual: Usual = np.median) -> dict[str, Standard]:
    """What the ordinary cases say of each floating-point output; `usual` makes one baseline of the cases'."""
    references = _ordinary(expected)
    dims = output_dims(expected)
    floats = [name for name, array in (references[0].eager if references else {}).items() if array.dtype.kind == "f"]
    return {
        name: standard_of(references, name, dims[name], has_reference=_has_reference(references, name), usual=usual)
        for name in floats
    }


def _has_reference(references: Sequence[Reference], output: str) -> bool:
    is_dropped = any(reference.exact is not None and output not in reference.exact for reference in references)
    return not is_dropped and not disagrees(references, output)


def _ordinary(expected: Sequence[Expected]) -> list[Reference]:
    return [item.reference for item in expected if item.reference is not None and item.case.values in ORDINARY]


def judged_by(standards: Standards, item: Expected) -> Expected:
    """The case with its tolerances, and without the float64 numbers that are no reference."""
    if item.reference is None:
        return item
    reference = _with_references(item.reference, standards)
    limits = tolerances(reference, standards, ordinary=item.case.values in ORDINARY)
    ordinary = None if item.ordinary is None else judged_by(standards, item.ordinary)
    return replace(item, reference=reference, tolerances=limits, ordinary=ordinary)


def _with_references(reference: Reference, standards: Standards) -> Reference:
    """PyTorch's own number in place of one in float64 that is another by more than rounding explains."""
    if reference.exact is None:
        return reference
    exact, errors = dict(reference.exact), dict(reference.eager_error)
    for name, standard in standards.items():
        other = find_unexplained(reference, name) if name in exact else np.zeros(0, bool)
        if not standard.has_reference:
            exact.pop(name, None)
        elif other.any():
            exact[name] = np.where(other, reference.eager[name], exact[name])
            errors[name] = np.where(other, reference.spread[name], errors[name])
    return replace(reference, exact=exact, eager_error=errors)


@dataclass(frozen=True)
class Shown:
    """What cases show, whatever a runtime computes.

    `doubt` says why they do not show that an output is right, and is None where they do. `weak` are the names of the
    ordinary ones in which PyTorch's own rounding errors are nearly as large as what they show.
    """

    doubt: Doubt | None = None
    weak: frozenset[str] = frozenset()


def what_is_shown(expected: Sequence[Expected], states: Collection[str] = ()) -> Shown:
    """What these cases show; of stored ones it is not known how far rounding moves PyTorch, and nothing is said.

    Args:
        states: outputs that the model keeps to itself. What one of them does not show, runs of many calls have to.
    """
    judged = {
        item.case.name: Judged(item.reference, item.tolerances)
        for item in expected
        if item.reference is not None and item.case.values in ORDINARY and _is_measured(item.reference)
    }
    if not judged:
        return Shown()
    standards = measure_standards(expected)
    returned = {name: standard for name, standard in standards.items() if name not in states}
    weak = frozenset(name for name, case in judged.items() if shows_little(case, returned))
    return Shown(doubt_of(list(judged.values()), standards, returned), weak)


def _is_measured(reference: Reference) -> bool:
    return bool(reference.still or reference.unsettled)


def trimmed_by(item: Expected, cut: Callable[[str, Array], Array]) -> Expected:
    """A case of which `cut` takes a part of every output; those of which nothing is left are not compared."""
    reference = item.reference
    assert reference is not None
    eager = {name: cut(name, array) for name, array in reference.eager.items()}
    kept = {name for name, array in eager.items() if array.size or not reference.eager[name].size}

    def of(name: str, array: Any) -> Any:
        return cut(name, array)

    def part(arrays: Mapping[str, Any]) -> dict[str, Any]:
        return {name: of(name, array) for name, array in arrays.items() if name in kept}

    if not kept:
        return replace(item, reference=None, refused="the first chunks of a stream give nothing yet")
    trimmed = Reference(
        {name: eager[name] for name in reference.eager if name in kept},
        None if reference.exact is None else part(reference.exact),
        *map(part, (reference.eager_error, reference.spread, reference.still, reference.unsettled)),
    )
    limits = {
        name: Tolerance(of(name, limit.limit), of(name, limit.scale))
        for name, limit in item.tolerances.items()
        if name in kept
    }
    mask = None if item.nonfinite_mask is None else part(item.nonfinite_mask)
    ordinary = None if item.ordinary is None else trimmed_by(item.ordinary, cut)
    return replace(item, reference=trimmed, nonfinite_mask=mask, tolerances=limits, ordinary=ordinary)


def output_dims(expected: Sequence[Expected]) -> dict[str, tuple[Dim, ...]]:
    """Each output's dimensions in terms of symbols and measures, inferred from the ordinary cases that PyTorch runs."""
    runs = [
        ({**item.case.sizes, **item.measures}, item.reference.eager)
        for item in expected
        if item.reference is not None and item.case.values in ORDINARY
    ]
    names = runs[0][1] if runs else {}
    return {name: infer_dims([sizes for sizes, _ in runs], [eager[name].shape for _, eager in runs]) for name in names}
