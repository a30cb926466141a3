"""What is missing is named, with the command that installs it; other clients are built all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from clients.programs import ROOT


def build(*arguments: str | Path, **environment: str) -> tuple[int, str]:
    script = ROOT / "clients" / "build.sh"
    done = subprocess.run([script, *arguments], capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["libtorch", "openvino", "onnxruntime"])
def test_missing_library(name: str, tmp_path: Path) -> None:
    """A Python that has none of the packages."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho\n")
    python.chmod(0o755)
    kept = {
        key: value for key, value in os.environ.items() if key not in ("ONNXRUNTIME_ROOT", "Torch_DIR", "OpenVINO_DIR")
    }
    code, said = build(python, name, **kept)
    assert code == 2
    assert f"{name}: there is no " in said
    assert f"Get it with: {python} -m pip install" in said


def test_missing_compiler(tmp_path: Path) -> None:
    for tool in ("bash", "dirname"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    code, said = build("python3", "libtorch", "openvino", PATH=str(tmp_path))
    assert code == 2
    assert said.splitlines() == [
        f"{name}: there is no C++ compiler. Get it with: apt-get install -y --no-install-recommends g++"
        for name in ("libtorch", "openvino")
    ]


@pytest.mark.parametrize(("name", "other"), [("onnxruntime", "openvino"), ("openvino", "onnxruntime")])
def test_a_client_asks_for_nothing_of_the_others(name: str, other: str, tmp_path: Path) -> None:
    """What `make clients` would do where nothing is installed."""
    command = ["make", "-n", "-B", "-C", ROOT, "clients", f"CLIENTS={name}", f"VENV={tmp_path / 'none'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"--target build/{name} -c constraints.txt {name}\n" in done.stdout
    assert f"--target build/{other} " not in done.stdout
    assert ".[dev]" not in done.stdout


def test_libtorch_is_that_of_the_whole_environment(tmp_path: Path) -> None:
    command = ["make", "-n", "-C", ROOT, "clients", "CLIENTS=libtorch", f"VENV={tmp_path / 'none'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ".[dev]" in done.stdout
    assert "--target" not in done.stdout
