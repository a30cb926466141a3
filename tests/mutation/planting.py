"""Planting a fault in a copy of a bundle, and whether checking it against PyTorch, as `verify` does, finds it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from planting import renew_hash
from rnn_export import read_bundle
from rnn_export.bundle.files import hash_file
from rnn_export.parity.artifact import check_artifact, open_artifact, probe_artifact
from rnn_export.parity.case_generator import CaseGenerator
from rnn_export.parity.cases import cases_for
from rnn_export.parity.drawing import Drawing
from rnn_export.parity.expected import Expected, expect
from rnn_export.parity.probe import Prober
from rnn_export.parity.report import Report
from rnn_export.parity.weights.model import ModelWeights, weights_of
from rnn_export.pytorch.evaluation import evaluating
from rnn_export.pytorch.run import as_tensors, suppress_output
from rnn_export.pytorch.samples import traced_sizes

from . import around, hidden, layers, linear, scans, scripts, streams, tensors  # noqa: F401  they register their kinds
from .kinds import KINDS, Kind
from .subjects import Subject

__all__ = ["KINDS", "Bundle", "Kind", "export", "judge", "plant"]


@dataclass(frozen=True)
class Bundle:
    """A subject's bundle, and what PyTorch computes in every case: worked out once, and compared with every fault."""

    subject: Subject
    folder: Path
    expected: Sequence[Expected]
    weights: ModelWeights
    prober: Prober


def export(subject: Subject, folder: Path) -> Bundle:
    """Export a subject, and run the cases of seed 0 through PyTorch."""
    model = subject.write(folder)
    manifest = read_bundle(folder)
    artifact, signature = manifest.artifacts[subject.file], manifest.signature
    with evaluating(model):
        cases = cases_for([artifact.stream], signature, traced_sizes(signature), 0, artifact.bounds)
        expected = expect(model, signature, cases)
        weights = weights_of(model, as_tensors(expected[0].inputs))
    generator = CaseGenerator.of(model.eval(), Drawing(signature), expected)
    prober = Prober.of(model, generator, expected[0], 0)
    return Bundle(subject, folder, expected, weights, prober)


def plant(kind: Kind, bundle: Bundle, beside: Path) -> bool:
    """Plant one fault in a copy of a bundle; False where it does not apply."""
    file = bundle.subject.file
    shutil.copytree(bundle.folder, beside, dirs_exist_ok=True)
    if not _write(kind, beside / file):
        return False
    assert hash_file(bundle.folder / file) != hash_file(beside / file), f"{kind.name} changes nothing"
    renew_hash(beside, file)
    return True


def judge(bundle: Bundle, faulty: Path) -> tuple[str, ...]:
    """What a fault in a copy of a bundle is caught by; its smallest case and its layer are not looked for."""
    manifest = read_bundle(faulty)
    file = bundle.subject.file
    opened = open_artifact(faulty / file, manifest.artifacts[file], manifest.signature)
    report = check_artifact(
        opened,
        bundle.expected,
        traced=bundle.expected[0].case.sizes,
        seed=0,
        weights=bundle.weights,
    )
    probed, _ = probe_artifact(opened, report, bundle.expected, bundle.prober)
    return tuple(_caught_by(probed))


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
