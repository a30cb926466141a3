"""Sums of products of tensors with named axes: however a product was written, it looks the same.

    S + unsqueeze(k, -1) * unsqueeze(v, -2)    and    S + einsum("ni,nj->nij", k, v)    are both    S[nij] + k[ni] v[nj]

An axis that a product has and its result lacks is summed over.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import onnx_ir as ir

# The name of an axis; None for one of length 1, which broadcasts.
Axis = int | None

# The axis that a loop runs along, of what has another value in each step.
TIME = 0

_names = itertools.count(1)

# Beyond this a sum is not what any operator here computes.
_MOST_TERMS = 16


@dataclass(frozen=True)
class Factor:
    """A tensor and the names of its axes."""

    value: ir.Value
    axes: tuple[Axis, ...]

    @property
    def names(self) -> frozenset[int]:
        return frozenset(axis for axis in self.axes if axis is not None)

    def renamed(self, names: Mapping[int, int]) -> Factor:
        return replace(self, axes=_renamed(self.axes, names))


@dataclass(frozen=True)
class Term:
    """A number times a product."""

    number: float
    factors: tuple[Factor, ...]

    @property
    def names(self) -> frozenset[int]:
        return frozenset[int]().union(*(factor.names for factor in self.factors))

    def renamed(self, names: Mapping[int, int]) -> Term:
        return replace(self, factors=tuple(factor.renamed(names) for factor in self.factors))

    def of(self, value: ir.Value) -> list[Factor]:
        """The factors that are this tensor."""
        return [factor for factor in self.factors if factor.value is value]


@dataclass(frozen=True)
class Expression:
    """A sum of products, and the axes of the result in their order."""

    axes: tuple[Axis, ...]
    terms: tuple[Term, ...]

    def of(self, value: ir.Value) -> bool:
        """Whether any product has this tensor in it."""
        return any(term.of(value) for term in self.terms)

    def renamed(self, names: Mapping[int, int]) -> Expression:
        return Expression(_renamed(self.axes, names), tuple(term.renamed(names) for term in self.terms))

    def fresh(self) -> Expression:
        """The same with new names, but for time."""
        used = {axis for axis in self.axes if axis is not None}.union(*(term.names for term in self.terms))
        return self.renamed({name: next(_names) for name in sorted(used - {TIME})})

    def summed(self, axes: Iterable[int], *, keep: bool) -> Expression | None:
        """The sum over axes by their position; None where a product does not have one, so that it counts many times."""
        gone = {*axes}
        names = {self.axes[at] for at in gone} - {None}
        if not all(names <= term.names for term in self.terms):
            return None
        left = [None if at in gone else axis for at, axis in enumerate(self.axes) if keep or at not in gone]
        return replace(self, axes=tuple(left))

    def times(self, number: float) -> Expression:
        return replace(self, terms=tuple(replace(term, number=number * term.number) for term in self.terms))


def tensor(value: ir.Value, sizes: Sequence[int | ir.SymbolicDim], *, over_time: bool = False) -> Expression:
    """A tensor as it is; in each step another one with `over_time`, where its sequence has time in front."""
    axes = tuple(None if size == 1 else next(_names) for size in sizes)
    return Expression(axes, (Term(1.0, (Factor(value, (TIME, *axes) if over_time else axes),)),))


def number(amount: float, rank: int = 0) -> Expression:
    """A constant of one element."""
    return Expression((None,) * rank, (Term(amount, ()),))


def add(left: Expression, right: Expression) -> Expression:
    """The sum; as in ONNX, the axes are aligned at their ends."""
    axes, left, right = _aligned(left, right)
    return Expression(axes, (*left.terms, *right.terms))


def multiply(left: Expression, right: Expression) -> Expression | None:
    """The product, each element by its own; None if it has too many terms."""
    axes, left, right = _aligned(left, right)
    terms = _products([left.terms, right.terms])
    return Expression(axes, terms) if len(terms) <= _MOST_TERMS else None


def contract(operands: Sequence[Expression], axes: Sequence[Sequence[str]], result: Sequence[str]) -> Expression | None:
    """Einsum: the operands' axes have these letters; None where it sums over what a product does not have."""
    names = {letter: next(_names) for letter in itertools.chain(*axes)}
    seen: set[str] = set()
    renamed: list[Expression] = []
    for operand, letters in zip(operands, axes, strict=True):
        if len({*letters}) < len(letters):
            return None
        fresh = operand.fresh()
        pairs = [(axis, letter) for axis, letter in zip(fresh.axes, letters, strict=True) if axis is not None]
        seen |= {letter for _, letter in pairs}
        renamed.append(fresh.renamed({axis: names[letter] for axis, letter in pairs}))
    terms = _products([operand.terms for operand in renamed])
    summed = {names[letter] for letter in seen - {*result}}
    if len(terms) > _MOST_TERMS or not all(summed <= term.names for term in terms):
        return None
    return Expression(tuple(names[letter] if letter in seen else None for letter in result), terms)


def _aligned(left: Expression, right: Expression) -> tuple[tuple[Axis, ...], Expression, Expression]:
    right = right.fresh()
    full = max(len(left.axes), len(right.axes))
    pairs = [*zip(_padded(left.axes, full), _padded(right.axes, full), strict=True)]
    right = right.renamed({b: a for a, b in pairs if a is not None and b is not None})
    return tuple(b if a is None else a for a, b in pairs), left, right


def _padded(axes: tuple[Axis, ...], full: int) -> tuple[Axis, ...]:
    return (None,) * (full - len(axes)) + axes


def _products(sums: Sequence[Sequence[Term]]) -> tuple[Term, ...]:
    def joined() -> Iterator[Term]:
        for terms in itertools.product(*sums):
            yield Term(prod(term.number for term in terms), tuple(itertools.chain(*(term.factors for term in terms))))

    return tuple(joined())


def _renamed(axes: tuple[Axis, ...], names: Mapping[int, int]) -> tuple[Axis, ...]:
    return tuple(None if axis is None else names.get(axis, axis) for axis in axes)
