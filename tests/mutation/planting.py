"""Planting a fault in a copy of a bundle, and whether `verify` finds it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from planting import renew_hash
from rnn_export import verify
from rnn_export.bundle.files import hash_file
from rnn_export.parity.report import Report
from rnn_export.pytorch.suppress import suppress_output

from . import around, layers, scans, scripts, streams, tensors  # noqa: F401  they register their kinds
from .kinds import KINDS, Kind
from .subjects import Subject

__all__ = ["KINDS", "Kind", "Planted", "judge", "plant"]


@dataclass(frozen=True)
class Planted:
    """A fault in a model, and what `verify` caught it by; nothing where it did not."""

    kind: str
    subject: str
    caught_by: tuple[str, ...]


def plant(kind: Kind, subject: Subject, bundle: Path, beside: Path) -> bool:
    """Plant one fault in a copy of a bundle; False where it does not apply."""
    shutil.copytree(bundle, beside, dirs_exist_ok=True)
    if not _write(kind, beside / subject.file):
        return False
    assert hash_file(bundle / subject.file) != hash_file(beside / subject.file), f"{kind.name} changes nothing"
    renew_hash(beside, subject.file)
    return True


def judge(kind: Kind, subject: Subject, faulty: Path) -> Planted:
    """Verify a bundle with a fault in it, as a user would."""
    (report,) = verify(faulty, model=subject.model, seed=0).reports
    return Planted(kind.name, subject.name, tuple(_caught_by(report)))


def _write(kind: Kind, file: Path) -> bool:
    """Plant a fault in a model file; False where it does not apply."""
    if file.suffix == ".pt":
        with suppress_output():
            module = None if kind.in_torchscript is None else kind.in_torchscript(torch.jit.load(file))
            if module is not None:
                torch.jit.save(module, file)
        return module is not None
    model = None if kind.in_onnx is None else kind.in_onnx(onnx.load(file))
    if model is not None:
        onnx.save(model, file)
    return model is not None


def _caught_by(report: Report) -> Iterator[str]:
    """Where a report shows a fault."""
    if report.weights is not None and not report.weights.passed:
        yield "weights"
    failed = [result for result in report.cases if result.verdict == "FAIL"]
    reasons = {output.reason for result in failed for output in result.outputs if output.reason}
    if any(reason.startswith("has shape") for reason in reasons):
        yield "shape"
    if any(reason.startswith("is float") or reason.startswith("is int") for reason in reasons):
        yield "dtype"
    if any(result.note for result in failed):
        yield "error"
    if any(reason.startswith("is ") and " instead of " not in reason for reason in reasons):
        yield "chunks" if all(result.fed for result in failed) else "outputs"
    elif any(reason.startswith("is ") and not reason.startswith(("is float", "is int")) for reason in reasons):
        yield "outputs"
