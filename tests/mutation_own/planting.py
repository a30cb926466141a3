"""Planting a fault in a copy of the package, and running the tests on that copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .faults import Fault

_ROOT = Path(__file__).parents[2]
_PACKAGE = _ROOT / "exporter"
_TESTS = "tests"

# Of pytest: all passed, and some failed.
_PASSED, _FAILED = 0, 1


def plant(fault: Fault, folder: Path) -> Path:
    """Copy the package to `folder/rnn_export` with the fault in it; returns the changed file.

    Raises:
        LookupError: the old text is not in the place exactly once.
    """
    package = folder / "rnn_export"
    shutil.copytree(_PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(_ROOT / "models", package / "models", ignore=shutil.ignore_patterns("__pycache__"))
    path = package / find(fault).relative_to(_PACKAGE)
    path.write_text(path.read_text(encoding="utf-8").replace(fault.old, fault.new), encoding="utf-8")
    return path


def find(fault: Fault) -> Path:
    """The file of the package that a fault changes.

    Raises:
        LookupError: the old text is not in the place exactly once.
    """
    place = _PACKAGE / fault.place
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    found = {path: count for path in files if (count := path.read_text(encoding="utf-8").count(fault.old))}
    if sum(found.values()) != 1:
        raise LookupError(f"{fault.name}: {fault.old!r} is {sum(found.values())} times in {fault.place}, not once.")
    return next(iter(found))


def caught_by(fault: Fault, folder: Path) -> str:
    """The first test that fails on the package in `folder`, those that should first; empty where all pass.

    Raises:
        RuntimeError: pytest could not run, or ran another copy of the package.
    """
    _check_copy(folder)
    first = [f"{_TESTS}/{path}" for path in fault.tests]
    return _first_failure(folder, first) or _first_failure(folder, ["-n", "2", "--dist", "loadfile", _TESTS])


def _check_copy(folder: Path) -> None:
    said = _run(folder, ["-c", "import rnn_export; print(rnn_export.__file__)"])
    if Path(said.stdout.strip()).parent != folder / "rnn_export":
        raise RuntimeError(f"The tests would not run the copy in {folder}: {said.stdout or said.stderr}")


def _first_failure(folder: Path, arguments: Sequence[str]) -> str:
    done = _run(folder, ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments])
    if done.returncode not in (_PASSED, _FAILED):
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    failed = (line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR ")))
    return next(failed, "").partition(" ")[2].partition(" - ")[0] if done.returncode == _FAILED else ""


def _run(folder: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Python with the copy before the installed package; no bytecode is written, for it goes by seconds and sizes."""
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=_ROOT, env=environment, capture_output=True, text=True, check=False
    )
