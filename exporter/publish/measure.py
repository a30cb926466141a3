"""What a report shows beyond verdicts: errors over sizes, over time and in ulps, and the time of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..bundle.manifest import Manifest
from ..parity.artifact import open_whole
from ..parity.cases import counted
from ..parity.check import check_case
from ..parity.drawing import draw_for
from ..parity.expected import Expected, output_dims
from ..parity.report import CaseResult
from ..pytorch.evaluation import evaluating
from ..pytorch.first_run import Trial, sizes_to_try
from ..pytorch.request import Progress
from ..pytorch.samples import Case
from ..runtimes.session import Session
from ..spec.artifact import Artifact
from ..spec.signature import Signature
from .speed import EagerRun, Speed, compare_speed, eager_runs

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
Example = Mapping[str, Array] | None
TIMES = (1, 2, 3, 7, 17, 50, 150)
BATCHES = (1, 2, 3, 7, 17)
LONG = 500


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
class Measured:
    """What was measured of one artifact; None where the model has no float64 form or no such dimension."""

    grid: Grid | None
    course: Course | None
    ulps: Ulps | None
    speeds: Sequence[Speed]


@dataclass(frozen=True)
class _Model:
    """What the model computes, for every artifact to be compared with.

    `symbols` are at most two dynamic dimensions, time first. `long` is one long sequence, and `along` the first output
    with a time dimension of its own, and which axis that is. `runs` are PyTorch's, to be timed.
    """

    symbols: Sequence[str]
    expected: Sequence[Expected]
    long: Expected | None
    along: tuple[str, int] | None
    runs: Sequence[EagerRun]


def measure(
    folder: Path, manifest: Manifest, built: nn.Module, example: Example, seed: int, progress: Progress
) -> dict[str, Measured]:
    """Run every artifact of a bundle beside the model that it was made from, built again; by file."""
    with evaluating(built):
        model = _run_model(manifest, built, example, seed, progress)
        progress("measure", 0, 1)
        artifacts = manifest.artifacts.items()
        return {name: _measure(folder / name, artifact, manifest, model) for name, artifact in artifacts}


def _run_model(manifest: Manifest, built: nn.Module, example: Example, seed: int, progress: Progress) -> _Model:
    signature, symbols = manifest.signature, _axes(manifest)
    traced, least = sizes_to_try(Trial(built, signature, example, None, seed))
    drawing = draw_for(built, signature, traced, seed, example, least=least)
    longest = Case({**counted(signature.symbols, 1, least), **dict.fromkeys(symbols[:1], LONG)}, "ordinary", seed)
    cases = [Case(each, "ordinary", seed + k) for k, each in enumerate(_sizes(signature, symbols, least))]
    drawn = drawing.expect(built, [*cases, longest], lambda done: progress("reference", done, len(cases) + 1))
    *expected, long = drawn.expected
    along = _along(expected, symbols)
    return _Model(
        symbols,
        expected,
        long if along else None,
        along,
        [*eager_runs(built, drawing, symbols, seed)],
    )


def _measure(file: Path, artifact: Artifact, manifest: Manifest, model: _Model) -> Measured:
    session = open_whole(file, artifact, manifest.signature, model.expected)
    return Measured(
        _grid(session, artifact.bound, model),
        _course(session, model),
        _ulps(session, model.expected),
        compare_speed(file, artifact, manifest.signature, model.expected, model.runs),
    )


def _axes(manifest: Manifest) -> list[str]:
    """At most two dynamic dimensions, time first."""
    streams = [artifact.stream for artifact in manifest.artifacts.values() if artifact.stream is not None]
    time_symbol = (streams[0].time if streams else None) or "T"
    return sorted(manifest.signature.symbols, key=lambda symbol: symbol != time_symbol)[:2]


def _sizes(signature: Signature, symbols: Sequence[str], least: Mapping[str, int]) -> Iterator[dict[str, int]]:
    others = counted([symbol for symbol in signature.symbols if symbol not in symbols], 2, least)
    rows = TIMES if symbols else (1,)
    columns = BATCHES if len(symbols) > 1 else (1,)
    for row in rows:
        for column in columns:
            yield {**dict(zip(symbols, (row, column), strict=False)), **others}


def _grid(session: Session, bound: float, model: _Model) -> Grid | None:
    if not model.symbols:
        return None
    columns = BATCHES if len(model.symbols) > 1 else (1,)
    shares = [_share(check_case(session, item, bound)) for item in model.expected]
    row, column = [*model.symbols, ""][:2]
    return Grid(row, column, TIMES, columns, np.array(shares, np.float64).reshape(len(TIMES), len(columns)))


def _share(result: CaseResult) -> float:
    if result.worst is None:
        return np.inf if result.verdict == "FAIL" else np.nan
    return result.worst.share


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


def _along(expected: Sequence[Expected], symbols: Sequence[str]) -> tuple[str, int] | None:
    """The first output with a time dimension of its own, and which axis that is."""
    return next(
        (
            (name, axis)
            for name, dims in output_dims(expected).items()
            for axis, dim in enumerate(dims)
            if symbols and _is_time(dim, symbols[0])
        ),
        None,
    )


def _course(session: Session, model: _Model) -> Course | None:
    if model.along is None or model.long is None or model.long.reference is None or model.long.reference.exact is None:
        return None
    name, axis = model.along
    exact, eager = model.long.reference.exact[name], model.long.reference.eager[name]
    got = session.run(model.long.inputs)[name]
    if got.shape != exact.shape or got.dtype.kind != "f":
        return None
    others = tuple(k for k in range(exact.ndim) if k != axis)
    return Course(name, _errors(got, exact).max(axis=others), _errors(eager, exact).max(axis=others))


def _errors(array: Array, exact: Array) -> Floats:
    return np.abs(array.astype(np.float64) - exact.astype(np.float64))


def _is_time(dim: Any, symbol: str) -> bool:
    return isinstance(dim, str) and symbol in dim.split("*")
