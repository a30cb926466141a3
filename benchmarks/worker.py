"""A process that runs one engine, or measures one limit, and does nothing but what the parent asks it for.

The parent stops it (SIGSTOP) whenever another is timed: no thread of its own, however it waits, can disturb.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from rnn_export.errors import first_line

from .engines import ENGINES, Call, Engine, Task, difference, read_case
from .rows import Row

LIMIT = "limit"
REFUSED, WRONG = "refused", "wrong"
_WARM_UP = 0.02
_TRIAL = 0.1
_PATIENCE = 180
# What a pipe raises whose other end has died, or does not answer.
_GONE = (EOFError, BrokenPipeError, ConnectionResetError, TimeoutError)
_LONGEST = 200
_context = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Load:
    """Get ready to run this row."""

    row: Row
    folder: Path


@dataclass(frozen=True)
class Time:
    """Run for about so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Loaded:
    """Ready: in which form, and how far from eager PyTorch, relative to the largest value."""

    form: str = ""
    error: float = 0.0


@dataclass(frozen=True)
class Refused:
    """Not ready, and why; `outcome` is "wrong" where the engine runs and computes something else."""

    outcome: str
    reason: str


class Server(Protocol):
    """What answers a parent's questions."""

    def load(self, row: Row, folder: Path) -> Loaded | Refused:
        """Get ready for a row."""

    def time(self, seconds: float) -> list[float]:
        """The seconds of each run."""


@dataclass(frozen=True)
class _Trial:
    form: str
    call: Call
    error: float
    seconds: float


class EngineServer:
    """Runs one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._call: Call | None = None

    def load(self, row: Row, folder: Path) -> Loaded | Refused:
        self._call = None
        task, expected = read_case(row, folder)
        right: list[_Trial] = []
        refused: list[Refused] = []
        for form, open_form in self._engine.forms.items():
            trial = self._try(form, open_form, task, expected)
            if isinstance(trial, _Trial):
                right.append(trial)
            else:
                refused.append(trial)
        if not right:
            outcome = WRONG if any(refusal.outcome == WRONG for refusal in refused) else REFUSED
            return Refused(outcome, "; ".join(dict.fromkeys(refusal.reason for refusal in refused)))
        fastest = min(right, key=lambda trial: trial.seconds)
        self._call = fastest.call
        return Loaded(fastest.form, fastest.error)

    def time(self, seconds: float) -> list[float]:
        assert self._call is not None
        return time_call(self._call, seconds)

    def _try(self, form: str, open_form: Callable[[Task], Call], task: Task, expected: list[Any]) -> _Trial | Refused:
        try:
            call = open_form(task)
            error = difference(call(), expected)
            if error > self._engine.tolerance:
                return Refused(WRONG, f"{form}: off by {error:.1e} of the largest value".removeprefix(": "))
            call()  # TorchScript compiles in its first calls
            call()
            seconds = float(np.median(time_call(call, _TRIAL))) if len(self._engine.forms) > 1 else 0.0
        except Exception as problem:  # each engine has errors of its own
            return Refused(REFUSED, f"{form}: {first_line(problem)}"[:_LONGEST].removeprefix(": "))
        return _Trial(form, call, error, seconds)


def time_call(call: Callable[[], object], seconds: float) -> list[float]:
    """The seconds of each call, for about so long, after a short warm-up."""
    end = perf_counter() + _WARM_UP
    call()
    while perf_counter() < end:
        call()
    found = []
    end = perf_counter() + seconds
    gc.disable()
    while True:
        start = perf_counter()
        call()
        now = perf_counter()
        found.append(now - start)
        if now > end:
            break
    gc.enable()
    return found


def serve(connection: Connection, name: str, threads: int) -> None:
    """Answer until the parent hangs up."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    server = _server(name)
    while True:
        try:
            question: Load | Time = connection.recv()
        except EOFError:
            return
        if isinstance(question, Load):
            connection.send(server.load(question.row, question.folder))
        else:
            connection.send(server.time(question.seconds))


def _server(name: str) -> Server:
    if name != LIMIT:
        return EngineServer(ENGINES[name])
    from .limits import LimitServer

    return LimitServer()


class Worker:
    """The parent's end: starts the process, and starts it again after it has died."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self._threads = threads
        self._start()

    def load(self, row: Row, folder: Path) -> Loaded | Refused:
        """Get ready for a row; a process that dies or does not answer has refused it."""
        try:
            answer: Loaded | Refused = self._ask(Load(row, folder))
            return answer
        except _GONE as error:
            self._start_again()
            return Refused(REFUSED, str(error) if isinstance(error, TimeoutError) else "the process died")

    def time(self, seconds: float) -> list[float]:
        """The seconds of each run, while every other worker is stopped; none where the process died of it."""
        try:
            times: list[float] = self._ask(Time(seconds))
            return times
        except _GONE:
            self._start_again()
            return []

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _start(self) -> None:
        self._connection, theirs = _context.Pipe()
        self._process = _context.Process(target=serve, args=(theirs, self.name, self._threads), daemon=True)
        self._process.start()
        theirs.close()

    def _start_again(self) -> None:
        self.close()
        self._start()

    def _ask(self, question: Load | Time) -> Any:
        self._signal(signal.SIGCONT)
        self._connection.send(question)
        if not self._connection.poll(_PATIENCE):
            raise TimeoutError(f"no answer in {_PATIENCE} seconds")
        answer = self._connection.recv()
        self._signal(signal.SIGSTOP)
        return answer

    def _signal(self, number: signal.Signals) -> None:
        if self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, number)
