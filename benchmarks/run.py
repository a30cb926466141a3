"""The whole run: the machine, the files, the rows, what grows, and the export itself."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

from . import exporting, growth
from .apart import apart
from .engines import ENGINES
from .files import CASE, write_all
from .race import Effort, race, running
from .records import LoopTimes, Machine, MambaStep, Written
from .results import Results, RowResult, Setting
from .rows import Model, Row, Shape, rows

Progress = Callable[[str], None]
PACKAGES = ("rnn-export", "torch", "onnxruntime", "openvino", "onnx", "onnxscript", "numpy")
_MACHINE_SECONDS = 0.1
_EXPORT_ROUNDS = 5
MAMBA_SIZES = (64, 128, 256)


@dataclass(frozen=True)
class Choice:
    """What is measured, and with how much effort."""

    models: Sequence[Model]
    shapes: Sequence[Shape]
    threads: Sequence[int]
    engines: Sequence[str]
    parts: Sequence[str]
    effort: Effort


def measure(choice: Choice, folder: Path, command: str, progress: Progress) -> Results:
    """Measure the chosen parts; `folder` takes the exported files."""
    start = time.monotonic()
    machines = {threads: apart(_machine, threads) for threads in choice.threads}
    table = rows(choice.models, choice.shapes, choice.threads) if "rows" in choice.parts else []
    growing = growth.rows(choice.models) if "growth" in choice.parts else []
    written = _write(table, choice.engines, folder, progress)
    timed = _race(table, choice.engines, choice.effort, folder, progress)
    written |= _write(growing, growth.ENGINES, folder, progress)
    grown = _race(growing, growth.ENGINES, replace(choice.effort, rounds=3), folder, progress)
    over_time = [row for row in growing if row.model == "LSTM" and row.shape.N == 1 and row.shape.T in growth.TIMES]
    memory = [found for row in over_time for found in growth.memory(row, folder)]
    exports = []
    if "growth" in choice.parts:
        progress("exports over T and L")
        exports = growth.exports_over_time() + growth.exports_over_layers()
    if "loops" in choice.parts:
        progress("loops of linear attention")
    is_exporting = "export" in choice.parts
    return Results(
        machines=machines,
        rows=timed,
        written={str(path.relative_to(folder)): found for path, found in written.items()},
        growth=grown,
        memory=memory,
        exports=exports,
        processes=exporting.processes(min(choice.effort.rounds, _EXPORT_ROUNDS), progress) if is_exporting else [],
        peaks=exporting.peaks() if is_exporting else [],
        loops=apart(_loops, choice.effort) if "loops" in choice.parts else [],
        mamba=_mamba(progress) if "mamba" in choice.parts else [],
        setting=_setting(command, (time.monotonic() - start) / 60),
    )


def _loops(effort: Effort) -> list[LoopTimes]:
    from .linear_attention import measure as measure_loops

    return measure_loops(effort)


def _mamba(progress: Progress) -> list[MambaStep]:
    progress("steps of a Mamba block")
    return [apart(_mamba_step, size) for size in MAMBA_SIZES]


def _mamba_step(size: int) -> MambaStep:
    from .mamba_step import compare

    return compare(size)


def _machine(threads: int) -> Machine:
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    from .limits import machine

    return machine(threads, _MACHINE_SECONDS)


def _write(table: Sequence[Row], engines: Sequence[str], folder: Path, progress: Progress) -> dict[Path, Written]:
    """The files that these engines need for these rows."""
    models = list(dict.fromkeys((row.model, row.shape) for row in table))
    ways = list(dict.fromkeys([CASE, *(way for name in engines for way in ENGINES[name].ways)]))
    found = {}
    for path, written in write_all(folder, models, ways):
        found[path] = written
        progress(f"{path.relative_to(folder)}: {written.reason or f'{written.seconds:.1f} s'}")
    return found


def _race(
    table: Sequence[Row], engines: Sequence[str], effort: Effort, folder: Path, progress: Progress
) -> list[RowResult]:
    found = []
    for threads in dict.fromkeys(row.threads for row in table):
        with running(engines, threads) as workers:
            for row in [row for row in table if row.threads == threads]:
                found.append(race(row, workers, folder, effort))
                progress(f"[{len(found)}/{len(table)}] {found[-1].line()}")
    return found


def _setting(command: str, minutes: float) -> Setting:
    return Setting(
        date=datetime.now(UTC).date().isoformat(),
        command=command,
        processor=_processor(),
        cores=os.cpu_count() or 0,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        versions=_versions(),
        minutes=minutes,
    )


def _versions() -> dict[str, str]:
    """Those of the packages that are there: a part of the run needs only some."""
    found = {package: [*distributions(name=package)] for package in PACKAGES}
    return {package: there[0].version.partition("+")[0] for package, there in found.items() if there}


def _processor() -> str:
    """Its name and the vector instructions that matter here."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    wide = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile") if flag in flags]
    return f"{fields.get('model name', platform.processor())} ({', '.join(wide)})"
