"""A client as a runtime of `verify`, by the same cases and limits as every other."""

from __future__ import annotations

from pathlib import Path

import pytest
from planting import plant, write_bundle, wrong_bias
from rnn_export import export_torchscript, load, verify

from clients.programs import program


@pytest.mark.parametrize(("name", "stateful"), [("hetero", False), ("scratch", False), ("deep", True)])
def test_onnx(onnx_client: str, name: str, stateful: bool, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", name, stateful=stateful)
    (report,) = verify(bundle, seed=0, runtime=f"program:{program(onnx_client)}").reports
    assert report.passed, report.failure


def test_torchscript(script_client: str, tmp_path: Path) -> None:
    loaded = load("hetero", seed=0)
    export_torchscript(loaded.model, loaded.signature, tmp_path / "b", source=loaded.source, verify=False)
    (report,) = verify(tmp_path / "b", seed=0, runtime=f"program:{program(script_client)}").reports
    assert report.passed, report.failure


def test_a_fault_is_found(onnx_client: str, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", "single")
    plant(bundle, wrong_bias)
    (report,) = verify(bundle, seed=0, runtime=f"program:{program(onnx_client)}").reports
    assert not report.right


def test_a_bundle_whose_name_begins_with_a_dash(
    onnx_client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program would take the path of its model for an option."""
    write_bundle(tmp_path / "-b", "single")
    monkeypatch.chdir(tmp_path)
    (report,) = verify(Path("-b"), seed=0, runtime=f"program:{program(onnx_client)}").reports
    assert report.passed, report.failure
