"""Random correct exports: every family can be drawn, an alarm is counted as one, and a record is gone on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from rnn_export import CaptureError, ParityError, Report, Signature, export_onnx
from torch import nn

from benchmarks import false_alarms
from benchmarks.false_alarms import attempt, main, summarize
from benchmarks.random_models import FAMILIES, Subject, random_subject


def small(seed: int) -> Subject:
    torch.manual_seed(seed)
    return Subject("layers", nn.GRU(2, 3), Signature({"x": "float32[T, N, 2]"}))


def test_every_family_is_drawn_and_a_seed_gives_one_model() -> None:
    subjects = [random_subject(seed) for seed in range(60)]
    assert {subject.family for subject in subjects} == set(FAMILIES)
    again = random_subject(7)
    assert (again.family, again.signature) == (subjects[7].family, subjects[7].signature)
    for name, tensor in again.model.state_dict().items():
        assert torch.equal(tensor, subjects[7].model.state_dict()[name])


def test_pairs_are_counted_and_a_record_is_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(false_alarms, "random_subject", small)
    record = tmp_path / "record.jsonl"
    arguments = ["--minutes", "0.001", "--record", str(record)]
    assert main(arguments) == 0
    assert main(arguments) == 0
    assert len(record.read_text().splitlines()) == 2
    said = capsys.readouterr().out
    assert "Seeds 0 to 1, " in said
    assert "2 exports, 40 pairs of an export and a case" in said
    assert "0 false alarms; 0 exports refused." in said
    assert "| layers | 2 | 40 |" in said


def _report(tmp_path: Path) -> Report:
    subject = small(0)
    report = export_onnx(subject.model, subject.signature, tmp_path / "out").report
    assert report is not None
    return report


def test_what_is_an_alarm_and_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = _report(tmp_path)
    monkeypatch.setattr(false_alarms, "random_subject", small)
    raised: list[Exception] = [
        ParityError("is off", report),
        CaptureError("The model cannot stream: model.onnx is right in one pass but not in chunks: say"),
        CaptureError("cannot be exported"),
        KeyError("x"),
    ]

    def fail(*arguments: Any, **options: Any) -> None:
        raise raised.pop(0)

    monkeypatch.setattr(false_alarms, "export_onnx", fail)
    found = [attempt(seed) for seed in range(4)]
    assert [bool(each.alarm) for each in found] == [True, True, False, False]
    assert [bool(each.refused) for each in found] == [False, False, True, True]
    assert found[0].pairs == 20
    assert "| layers | 4 | 20 |" in summarize(found)
