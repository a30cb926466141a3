"""Every kind of fault, planted in one model that it applies to, is caught, and what is wrong is said."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from rnn_export import verify
from rnn_export.parity import probe

from .planting import KINDS, Bundle, Kind, export, judge, plant
from .subjects import SUBJECTS, Subject

Export = Callable[[Subject], Bundle]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A subject's bundle, which is written once."""
    return cache(lambda subject: export(subject, tmp_path_factory.mktemp("bundle")))


@pytest.fixture(autouse=True)
def _enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "BUDGET", 3.0)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_a_planted_fault_is_caught(kind: Kind, exported: Export, tmp_path: Path) -> None:
    bundles = map(exported, SUBJECTS)
    planted = next((bundle for bundle in bundles if plant(kind, bundle, tmp_path / "faulty")), None)
    assert planted is not None, "it applies to no model"
    assert judge(planted, tmp_path / "faulty"), planted.subject.name


@pytest.mark.parametrize("subject", SUBJECTS, ids=[subject.name for subject in SUBJECTS])
def test_without_a_fault_nothing_is_caught(subject: Subject, exported: Export) -> None:
    bundle = exported(subject)
    assert judge(bundle, bundle.folder) == ()


GRU = next(subject for subject in SUBJECTS if subject.name == "GRU")


def report_of(name: str, exported: Export, folder: Path) -> str:
    """What `verify` says of a fault in a GRU with its states given."""
    kind = next(each for each in KINDS if each.name == name)
    assert plant(kind, exported(GRU), folder)
    return verify(folder, seed=3).reports[0].failure


def test_verify_passes_without_a_fault(exported: Export) -> None:
    (report,) = verify(exported(GRU).folder).reports
    assert report.passed
    assert report.failure == ""
    assert report.weights is not None
    assert report.weights.equal == report.weights.compared == 10


def test_the_output_and_the_case_are_named(exported: Export, tmp_path: Path) -> None:
    failure = report_of("reset gate before the product", exported, tmp_path / "faulty")
    assert "model.onnx in onnxruntime:cpu: output '" in failure
    assert "in case " in failure


def test_the_first_wrong_time_step_is_named(exported: Export, tmp_path: Path) -> None:
    failure = report_of("initial state ignored", exported, tmp_path / "faulty")
    assert "The first difference is at time step 0." in failure


def test_the_wrong_weight_is_named(exported: Export, tmp_path: Path) -> None:
    failure = report_of("one weight up by an ulp", exported, tmp_path / "faulty")
    assert "outputs match PyTorch's, but weights differ." in failure
    assert "differs from the model's rnn.weight_hh_l" in failure
    assert "in 1 of 48 elements" in failure
