"""A line on stderr that says what is going on, while it goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STAGES = {
    "check": "Checking the model",
    "capture": "Capturing the model",
    "lower": "Lowering to ONNX",
    "tune": "Timing the forms",
    "compile": "Compiling to TorchScript",
    "reference": "Computing the reference",
    "verify": "Comparing with PyTorch",
    "shrink": "Finding the smallest case",
    "steps": "Timing single steps",
    "measure": "Measuring errors and time",
    "probe": "Trying runtimes",
}


@contextmanager
def progress(silent: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A line on stderr that says what is going on, while it goes on; nothing where that is not a terminal."""
    if silent or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<25}"),
        BarColumn(30),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("Loading PyTorch", total=None, count="")
        begun: dict[str, float] = {}

        def advance(stage: str, done: int, total: int) -> None:
            taken = time.monotonic() - begun.setdefault(stage, time.monotonic())
            counted = total if total > 1 else None
            count = _left(taken, done, total) if counted else ""
            bar.update(task, description=_STAGES.get(stage, stage), completed=done, total=counted, count=count)

        yield advance


def _left(taken: float, done: int, total: int) -> str:
    """How much of a stage is done, and about how many seconds the rest takes, if it goes on as it did."""
    return f"{done}/{total}" + (f", {taken / done * (total - done):.0f} s left" if done and taken else "")
