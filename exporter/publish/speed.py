"""How long a file and PyTorch take for the same inputs: in turn, with one thread each, so that neither is favoured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..parity.artifact import open_whole
from ..parity.cases import counted
from ..parity.drawing import Drawing
from ..parity.expected import Expected
from ..pytorch.bind import bind_inputs
from ..pytorch.run import as_tensors
from ..pytorch.samples import Case
from ..pytorch.threads import torch_threads
from ..runtimes.session import ProviderOptions
from ..spec.artifact import Artifact
from ..spec.signature import Signature

Array = NDArray[np.generic]
Run = Callable[[], Any]
_SIZES = ((1, 1), (35, 1), (35, 32))
# Of both together, at each of these sizes.
_SECONDS = 0.6
_WARM_UP = 3
_LEAST_ROUNDS = 5


@dataclass(frozen=True)
class Speed:
    """Seconds of a run at some sizes: medians."""

    sizes: Mapping[str, int]
    runtime: float
    eager: float


@dataclass(frozen=True)
class EagerRun:
    """PyTorch's run at some sizes, to be timed beside the run of a file for the same inputs."""

    sizes: Mapping[str, int]
    inputs: Mapping[str, Array]
    run: Run


def eager_runs(model: nn.Module, drawing: Drawing, symbols: Sequence[str], seed: int) -> Iterator[EagerRun]:
    """PyTorch as its users call it, at each of the sizes that the model takes; `symbols` have the time first."""
    for pair in _SIZES[: 3 if len(symbols) > 1 else 1]:
        least = counted(drawing.signature.symbols, 1, drawing.least)
        asked = dict(zip(symbols, pair, strict=False))
        sizes = {name: max(size, asked.get(name, 1)) for name, size in least.items()}
        if not drawing.signature.fits(sizes):
            continue
        inputs = drawing.inputs(Case(sizes, "ordinary", seed))
        tensors = as_tensors(inputs)
        args, kwargs = bind_inputs(model, tensors).arguments(tensors)
        yield EagerRun(sizes, inputs, partial(model, *args, **kwargs))


def compare_speed(
    file: Path, artifact: Artifact, signature: Signature, expected: Sequence[Expected], runs: Sequence[EagerRun]
) -> list[Speed]:
    """The file beside PyTorch at each of the sizes."""
    # TorchScript computes with PyTorch's threads.
    options = ProviderOptions(threads=1) if artifact.opset is not None else None
    session = open_whole(file, artifact, signature, expected, options)
    with torch_threads(1), torch.inference_mode():
        return [Speed(each.sizes, *time_in_turn(partial(session.run, each.inputs), each.run)) for each in runs]


def time_in_turn(one: Run, other: Run) -> tuple[float, float]:
    """The median seconds of each, run in turn after a few runs that are not counted."""
    for _ in range(_WARM_UP):
        one()
        other()
    end = time.perf_counter() + _SECONDS
    taken: list[tuple[float, float]] = []
    while len(taken) < _LEAST_ROUNDS or time.perf_counter() < end:
        taken.append((_seconds(one), _seconds(other)))
    ones, others = zip(*taken, strict=True)
    return median(ones), median(others)


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
