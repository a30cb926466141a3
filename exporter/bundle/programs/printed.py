"""What the programs of a README print: the file is run once as they run it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...runtimes.open import open_session
from .call import ProgramSpec

Array = NDArray[np.generic]


def printed(folder: Path, call: ProgramSpec, digits: int) -> tuple[str, ...]:
    """A line for each output of each run: its name, its first number and its last; none where it does not run here.

    Args:
        folder: where the file and what lies beside it are.
        digits: how many of a float are shown, if its dtype has as many.
    """
    try:
        runs = list(_runs(folder, call))
    except Exception:  # runtimes' exceptions have no common base, and the bundle is right without the numbers
        return ()
    return tuple(" ".join([name, *_ends(array, digits)]) for outputs in runs for name, array in outputs.items())


def _runs(folder: Path, call: ProgramSpec) -> Iterator[Mapping[str, Array]]:
    """On the CPU, as the programs do, whatever the runtime in which the file was verified."""
    runtime = "torchscript" if call.file.endswith(".pt") else "onnxruntime:cpu"
    session = open_session(runtime, folder / call.file, tuple(call.outputs))
    inputs = {name: filled.array() for name, filled in call.inputs.items()}
    for _ in range(call.runs):
        found = session.run(inputs)
        yield {name: found[name] for name in call.outputs}
        inputs |= {state: found[output] for state, output in call.carried.items()}


def _ends(array: Array, digits: int) -> list[str]:
    if array.size == 0:
        return []
    return [_shown(array.flat[index], digits) for index in (0, -1)]


def _shown(number: np.generic, digits: int) -> str:
    if not isinstance(number, np.floating):
        return str(int(number))
    return f"{number:.{min(digits, np.finfo(number.dtype).precision)}g}"
