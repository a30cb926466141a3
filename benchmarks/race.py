"""Timing a row: every engine in turn, round after round, each in its own process while the others are stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .engines import ENGINES
from .results import Engine, RowResult
from .rows import Row
from .worker import LIMIT, REFUSED, Loaded, Refused, Worker


@dataclass(frozen=True)
class Effort:
    """How often each engine is timed, and for about how many seconds each time."""

    rounds: int = 7
    seconds: float = 0.07


QUICK = Effort(3, 0.05)


@contextmanager
def running(names: Sequence[str], threads: int) -> Iterator[list[Worker]]:
    """A worker for each of these engines and one for the limit."""
    with ExitStack() as stack:
        workers = []
        for name in (*names, LIMIT):
            worker = Worker(name, threads)
            stack.callback(worker.close)
            workers.append(worker)
        yield workers


def race(row: Row, workers: Sequence[Worker], folder: Path, effort: Effort) -> RowResult:
    """Time one row in every worker that can run it, in another order each round."""
    suited = [worker for worker in workers if _suits(worker, row)]
    with ThreadPoolExecutor(2) as pool:
        loaded = list(pool.map(lambda worker: worker.load(row, folder), suited))
    ready = [worker for worker, reply in zip(suited, loaded, strict=True) if isinstance(reply, Loaded)]
    seconds: dict[str, list[list[float]]] = {worker.name: [] for worker in ready}
    for number in range(effort.rounds):
        start = number % len(ready)
        for worker in (*ready[start:], *ready[:start]):
            if [] not in seconds[worker.name]:
                seconds[worker.name].append(worker.time(effort.seconds))
    engines = {
        worker.name: _result(reply, seconds.get(worker.name, []))
        for worker, reply in zip(suited, loaded, strict=True)
        if worker.name != LIMIT
    }
    return RowResult(row, engines, tuple(found for (found,) in seconds[LIMIT]))


def _suits(worker: Worker, row: Row) -> bool:
    return worker.name == LIMIT or row.shape.is_one_step or not ENGINES[worker.name].one_step_only


def _result(reply: Loaded | Refused, seconds: list[list[float]]) -> Engine:
    if isinstance(reply, Refused):
        return Engine(reply.outcome, reason=reply.reason)
    if [] in seconds:
        return Engine(REFUSED, reason="the process died while it was timed")
    rounds, calls = tuple(median(found) for found in seconds), tuple(len(found) for found in seconds)
    return Engine("timed", reply.form, reply.error, rounds, calls)
