"""A report of a bundle that people look at: one HTML page without anything from outside."""

from __future__ import annotations

import os
from pathlib import Path

from ..bundle.manifest import read_manifest
from ..bundle.rebuild import rebuild
from ..errors import InputError
from ..pytorch.request import Progress, silent
from ..verification import verify
from .measure import Measured, measure
from .page import render


def write_report(
    bundle: str | Path,
    out: str | Path | None = None,
    *,
    model: str | None = None,
    seed: int | None = None,
    progress: Progress = silent,
) -> tuple[Path, bool]:
    """Verify a bundle, measure it, and write the page; returns its path and whether every artifact passed.

    Args:
        bundle: the folder.
        out: the page; by default `<bundle>.report.html`, beside the folder.
        model: as for `verify`.
        seed: as for `verify`.
        progress: as for `verify`.

    Raises:
        UnavailableError: matplotlib is not installed.
        InputError: the page cannot be written there.
        BundleError, LoadError: as for `verify`.
    """
    folder = Path(bundle)
    path = folder.resolve().with_name(f"{folder.resolve().name}.report.html") if out is None else Path(out)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{path} cannot be written. Give another place for the page.")
    verification = verify(folder, model=model, seed=seed, progress=progress)
    manifest = read_manifest(folder)
    measured: dict[str, Measured] = {}
    if verification.how == "rebuilt":
        rebuilt = rebuild(folder, manifest, model)
        measured = measure(folder, manifest, rebuilt.model, rebuilt.example, verification.seed, progress)
    path.write_text(render(folder, manifest, verification, measured), encoding="utf-8")
    return path, verification.passed
