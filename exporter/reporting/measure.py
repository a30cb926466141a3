"""What a report shows beyond verdicts: errors over sizes, over time and in ulps, and the time of a run."""

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

from ..calling import arrange
from ..evaluation import evaluating
from ..manifest import Artifact, Manifest
from ..parity import Case, Expected, check_case, expect, expect_case, make_inputs, output_dims, typical_errors
from ..parity.compare import Typical
from ..parity.reference import Oracle
from ..preparation import Progress
from ..proof import open_whole
from ..runtimes import Session
from ..signature import Signature

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
Example = Mapping[str, Array] | None

TIMES = (1, 2, 3, 7, 17, 50, 150)
BATCHES = (1, 2, 3, 7, 17)
LONG = 500
_SPEEDS = ((1, 1), (35, 1), (35, 32))
_SECONDS = 0.3


@dataclass(frozen=True)
class Grid:
    """The largest error over its limit, [len(rows), len(columns)], by the sizes of two symbols; NaN where refused."""

    row: str
    column: str
    rows: Sequence[int]
    columns: Sequence[int]
    shares: Floats


@dataclass(frozen=True)
class Course:
    """The largest error against float64 at each time step [T] of one long sequence, of one output."""

    output: str
    runtime: Floats
    eager: Floats


@dataclass(frozen=True)
class Ulps:
    """Errors against float64 of every element of the grid's cases, in units in the last place of the reference."""

    runtime: Floats
    eager: Floats


@dataclass(frozen=True)
class Speed:
    """Seconds of a run at some sizes: medians."""

    sizes: Mapping[str, int]
    runtime: float
    eager: float


@dataclass(frozen=True)
class Measured:
    """What was measured of one artifact; None where the model has no float64 form or no such dimension."""

    artifact: str
    grid: Grid | None
    course: Course | None
    ulps: Ulps | None
    speeds: Sequence[Speed]


def measure(
    file: Path,
    manifest: Manifest,
    built: nn.Module,
    example: Example,
    seed: int,
    progress: Progress,
) -> Measured:
    """Run an artifact beside the model it was made from, built again and in evaluation mode."""
    signature, artifact = manifest.signature, manifest.artifacts[file.name]
    symbols = _axes(signature, artifact)
    cases = [Case(sizes, "ordinary", seed + k) for k, sizes in enumerate(_sizes(signature, symbols))]
    with evaluating(built):
        expected = expect(
            built, signature, cases, example, advance=lambda done: progress("reference", done, len(cases))
        )
        session = open_whole(file, artifact, signature, expected)
        typical = typical_errors(expected)
        progress("measure", 0, 1)
        return Measured(
            file.name,
            _grid(session, expected, typical, artifact.bound, symbols),
            _course(session, Oracle(built, signature), signature, expected, symbols, seed, example),
            _ulps(session, expected),
            [*_speeds(session, built, signature, symbols, seed, example)],
        )


def _axes(signature: Signature, artifact: Artifact) -> list[str]:
    """At most two dynamic dimensions, time first."""
    time_symbol = artifact.stream.time if artifact.stream is not None else "T"
    return sorted(signature.symbols, key=lambda symbol: symbol != time_symbol)[:2]


def _sizes(signature: Signature, symbols: Sequence[str]) -> Iterator[dict[str, int]]:
    others = {symbol: 2 for symbol in signature.symbols if symbol not in symbols}
    rows = TIMES if symbols else (1,)
    columns = BATCHES if len(symbols) > 1 else (1,)
    for row in rows:
        for column in columns:
            yield {**dict(zip(symbols, (row, column), strict=False)), **others}


def _grid(
    session: Session,
    expected: Sequence[Expected],
    typical: Mapping[str, Typical],
    bound: float,
    symbols: Sequence[str],
) -> Grid | None:
    if not symbols:
        return None
    columns = BATCHES if len(symbols) > 1 else (1,)
    shares = [_share(session, item, typical, bound) for item in expected]
    row, column = [*symbols, ""][:2]
    return Grid(row, column, TIMES, columns, np.array(shares, np.float64).reshape(len(TIMES), len(columns)))


def _share(session: Session, item: Expected, typical: Mapping[str, Typical], bound: float) -> float:
    result = check_case(session, item, typical, bound)
    if result.worst is None:
        return np.inf if result.verdict == "FAIL" else np.nan
    return result.worst.error / result.worst.limit if result.worst.limit else float(bool(result.worst.error))


def _ulps(session: Session, expected: Sequence[Expected]) -> Ulps | None:
    runtime, eager = [], []
    for item in expected:
        if item.reference is None or item.reference.exact is None:
            continue
        got = session.run(item.inputs)
        for name, exact in item.reference.exact.items():
            own = item.reference.eager[name]
            if own.dtype.kind == "f" and got[name].shape == exact.shape:
                unit = np.spacing(np.abs(exact.astype(own.dtype))).astype(np.float64)
                runtime.append((_errors(got[name], exact) / unit).reshape(-1))
                eager.append((_errors(own, exact) / unit).reshape(-1))
    return Ulps(np.concatenate(runtime), np.concatenate(eager)) if runtime else None


def _course(
    session: Session,
    oracle: Oracle,
    signature: Signature,
    expected: Sequence[Expected],
    symbols: Sequence[str],
    seed: int,
    example: Example,
) -> Course | None:
    """Of the first output with a time dimension of its own, at N=1."""
    dims = output_dims(expected)
    along = next(
        (
            (name, axis)
            for name, own in dims.items()
            for axis, dim in enumerate(own)
            if symbols and _is_time(dim, symbols[0])
        ),
        None,
    )
    if along is None:
        return None
    case = Case({**dict.fromkeys(signature.symbols, 1), symbols[0]: LONG}, "ordinary", seed)
    item = expect_case(oracle, signature, case, example)
    if item.reference is None or item.reference.exact is None:
        return None
    name, axis = along
    exact = item.reference.exact[name]
    others = tuple(k for k in range(exact.ndim) if k != axis)
    got = session.run(item.inputs)[name]
    if got.shape != exact.shape or got.dtype.kind != "f":
        return None
    return Course(
        name,
        _errors(got, exact).max(axis=others),
        _errors(item.reference.eager[name], exact).max(axis=others),
    )


def _errors(array: Array, exact: Array) -> Floats:
    return np.abs(array.astype(np.float64) - exact.astype(np.float64))


def _is_time(dim: Any, symbol: str) -> bool:
    return isinstance(dim, str) and symbol in dim.split("*")


def _speeds(
    session: Session, model: nn.Module, signature: Signature, symbols: Sequence[str], seed: int, example: Example
) -> Iterator[Speed]:
    """PyTorch as its users call it, with its own number of threads, as the runtime has."""
    for pair in _SPEEDS[: 3 if len(symbols) > 1 else 1]:
        sizes = {**dict.fromkeys(signature.symbols, 1), **dict(zip(symbols, pair, strict=False))}
        inputs = make_inputs(signature, Case(sizes, "ordinary", seed), example)
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        args, kwargs = arrange(model, tensors).arguments(tensors)
        with torch.inference_mode():
            eager = _seconds(partial(model, *args, **kwargs))
        yield Speed(sizes, _seconds(partial(session.run, inputs)), eager)


def _seconds(run: Callable[[], Any]) -> float:
    """The median of runs in a row, after one that is not counted."""
    run()
    end = time.perf_counter() + _SECONDS
    taken: list[float] = []
    while not taken or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return median(taken)
