"""What the numbers of the rows say: which of ours counts, who is fastest, how near the limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from .engines import FLOAT32_OWN, OWN
from .results import Engine, RowResult
from .rows import products


@dataclass(frozen=True)
class Rival:
    """An engine over all rows on which both it and ours were timed: how many times as long it takes."""

    name: str
    rows: int
    slower: int
    lowest: float
    middle: float
    highest: float


def ours(result: RowResult) -> Engine | None:
    """Ours in float32: in a single step the faster of a plain session and a `Stream`, which do the same."""
    timed = [result.engines[name] for name in FLOAT32_OWN if name in result.timed()]
    return min(timed, key=lambda engine: engine.seconds) if timed else None


def best_rival(result: RowResult) -> tuple[str, Engine] | None:
    """The fastest engine that is not ours."""
    timed = {name: engine for name, engine in result.timed().items() if name not in OWN}
    return min(timed.items(), key=lambda item: item[1].seconds) if timed else None


def ratio(result: RowResult, engine: Engine) -> float | None:
    """How many times as long as ours an engine takes: over 1, ours is faster."""
    own = ours(result)
    return engine.seconds / own.seconds if own and engine.is_timed else None


def rivals(results: Sequence[RowResult]) -> Iterator[Rival]:
    """Every other engine, in the order of the tables."""
    for name in dict.fromkeys(name for result in results for name in result.engines if name not in OWN):
        found = [ratio(result, result.engines[name]) for result in results if name in result.engines]
        ratios = [value for value in found if value is not None]
        if ratios:
            slower = sum(value >= 1 for value in ratios)
            yield Rival(name, len(ratios), slower, min(ratios), median(ratios), max(ratios))


def beaten(results: Sequence[RowResult]) -> list[RowResult]:
    """The rows on which another engine is faster than ours."""
    found = []
    for result in results:
        rival = best_rival(result)
        value = ratio(result, rival[1]) if rival else None
        if value is not None and value < 1:
            found.append(result)
    return found


def overlap(one: Engine, other: Engine) -> bool:
    """Whether the slowest round of one is slower than the fastest of the other, and the reverse: a draw."""
    return min(one.rounds) <= max(other.rounds) and min(other.rounds) <= max(one.rounds)


def share(result: RowResult) -> float | None:
    """The limit's time in ours."""
    own = ours(result)
    return result.limit / own.seconds if own else None


def traffic(result: RowResult) -> int:
    """Bytes of weights that products with a vector read: a single sequence reads them again in every step."""
    found = products(result.row.model, result.row.shape)
    return sum(product.bytes * product.count for product in found if product.rows == 1)
