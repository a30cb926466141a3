"""A program that is called as a client is, as a runtime of `verify`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from planting import plant, wrong_bias
from rnn_export import export_onnx, export_torchscript, load, verify
from rnn_export.cli.main import main
from rnn_export.errors import BundleError, UnavailableError


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A client that is made with the ONNX project's reference evaluator."""
    file = tmp_path_factory.mktemp("client") / "client"
    serve = f"exec {sys.executable} -P -m rnn_export.runtimes.programs.onnx_reference"
    file.write_text(
        f'#!/bin/sh\n[ "$1" != --version ] || exec echo "client 1.0, onnx.reference 1.23, takes .onnx"\n{serve} "$@"\n'
    )
    file.chmod(0o755)
    return file


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    loaded = load("single", cell="gru", input_size=3, hidden_size=4, seed=0)
    export_torchscript(loaded.model, loaded.signature, tmp_path / "b", source=loaded.source, verify=False)
    export_onnx(loaded.model, loaded.signature, tmp_path / "b", source=loaded.source, target="portable", verify=False)
    return tmp_path / "b"


def test_it_runs_the_files_that_it_takes(program: Path, bundle: Path) -> None:
    (report,) = verify(bundle, seed=0, runtime=f"program:{program}").reports
    assert report.passed, report.failure
    assert report.artifact == "model.onnx"
    assert report.placement.version == "onnx.reference 1.23"


def test_it_fails_what_is_wrong(program: Path, bundle: Path) -> None:
    plant(bundle, wrong_bias)
    (report,) = verify(bundle, seed=0, runtime=f"program:{program}").reports
    assert not report.passed


def test_a_program_that_is_not_there(bundle: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke(main, ["verify", str(bundle), "--runtime", f"program:{tmp_path / 'none'}"])
    assert run.exit_code == 2
    assert "There is no program" in run.output


@pytest.mark.parametrize("said", ["", "\\377", "client 1.0", "client 1.0, somewhere, takes everything"])
def test_a_program_that_is_no_client(said: str, bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(f"#!/bin/sh\nprintf '{said}\\n'\n")
    other.chmod(0o755)
    with pytest.raises(UnavailableError, match="does not say what it is and takes"):
        verify(bundle, runtime=f"program:{other}")


def test_a_bundle_without_a_file_that_it_takes(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho 'client 1.0, runtime 2.0, takes .tflite'\n")
    other.chmod(0o755)
    with pytest.raises(BundleError, match="holds no file that program:"):
        verify(bundle, runtime=f"program:{other}")
