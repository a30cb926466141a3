"""Every kind of fault, planted in one model that it applies to, is caught, and what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from rnn_export import verify

from .planting import KINDS, Kind, judge, plant
from .subjects import SUBJECTS, Subject


def bundle_of(subject: Subject, bundles: dict[str, Path], folder: Path) -> Path:
    """A model's bundle, which is written once."""
    if subject.name not in bundles:
        bundles[subject.name] = subject.write(folder / f"bundle{len(bundles)}")
    return bundles[subject.name]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], Path]:
    return {}, tmp_path_factory.mktemp("bundles")


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_a_planted_fault_is_caught(kind: Kind, written: tuple[dict[str, Path], Path], tmp_path: Path) -> None:
    for subject in SUBJECTS:
        if plant(kind, subject, bundle_of(subject, *written), tmp_path / "faulty"):
            planted = judge(kind, subject, tmp_path / "faulty")
            assert planted.caught_by, f"{kind.name} in {subject.name}"
            return
    pytest.fail("it applies to no model")


def report_of(name: str, written: tuple[dict[str, Path], Path], folder: Path) -> str:
    """What is said of a fault in a GRU with its states given."""
    kind = next(each for each in KINDS if each.name == name)
    subject = next(each for each in SUBJECTS if each.name == "GRU")
    assert plant(kind, subject, bundle_of(subject, *written), folder)
    return verify(folder, seed=3).reports[0].failure


def test_without_a_fault_it_passes(written: tuple[dict[str, Path], Path]) -> None:
    (report,) = verify(bundle_of(SUBJECTS[1], *written)).reports
    assert report.passed
    assert report.failure == ""
    assert report.weights is not None
    assert report.weights.equal == report.weights.compared == 10


def test_the_output_and_the_case_are_named(written: tuple[dict[str, Path], Path], tmp_path: Path) -> None:
    failure = report_of("reset gate before the product", written, tmp_path / "faulty")
    assert "model.onnx in onnxruntime:cpu: output '" in failure
    assert "in case " in failure


def test_the_first_wrong_time_step_is_named(written: tuple[dict[str, Path], Path], tmp_path: Path) -> None:
    failure = report_of("initial state ignored", written, tmp_path / "faulty")
    assert "The first difference is at time step 0." in failure


def test_the_wrong_weight_is_named(written: tuple[dict[str, Path], Path], tmp_path: Path) -> None:
    failure = report_of("one weight up by an ulp", written, tmp_path / "faulty")
    assert "outputs match PyTorch's, but weights differ." in failure
    assert "differs from the model's rnn.weight_hh_l" in failure
    assert "in 1 of 48 elements" in failure
