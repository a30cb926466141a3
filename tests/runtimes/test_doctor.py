"""What is there and what is not, and that nothing that is missing or dies takes the doctor with it."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
from rnn_export.runtimes import doctor
from rnn_export.runtimes.doctor import diagnose
from rnn_export.runtimes.open import RUNTIMES
from rnn_export.runtimes.programs.packages import PACKAGES, Package
from rnn_export.runtimes.provider_table import PROVIDERS


def test_what_is_there_has_run() -> None:
    cpu, torchscript = diagnose(["onnxruntime:cpu", "torchscript"])
    assert (cpu.there, cpu.version, cpu.why, cpu.get) == (True, onnxruntime.__version__, "", "")
    assert cpu.device
    assert torchscript.there


def test_all_that_are_known_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_probe", lambda runtime, library: {"there": False, "why": "untried"})
    found = {diagnosis.runtime: diagnosis for diagnosis in diagnose()}
    assert set(found) == set(RUNTIMES)
    dml = found["onnxruntime:dml"]
    assert dml.why == f"Not in ONNX Runtime {onnxruntime.__version__} here; needs Windows with DirectX 12."
    assert dml.get == "rnn-export install onnxruntime:dml"
    assert found["onnxruntime:cpu"].why == "untried"


def test_what_takes_the_place_of_another_package_is_not_for_pip_alone() -> None:
    assert PROVIDERS["webgpu"].get == "rnn-export install onnxruntime:webgpu"
    assert PROVIDERS["qnn"].get == "pip install onnxruntime-qnn"


def test_an_unknown_runtime() -> None:
    (found,) = diagnose(["onnxruntime:cup"])
    assert not found.there
    assert found.why.startswith("There is no runtime 'onnxruntime:cup'. Did you mean 'onnxruntime:cpu'?")


def test_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    cpu, cuda, torchscript = diagnose(["onnxruntime:cpu", "onnxruntime:cuda", "torchscript"])
    assert (cpu.there, cpu.why, cpu.get) == (
        False,
        "ONNX Runtime is not installed.",
        "rnn-export install onnxruntime:cpu",
    )
    assert cuda.why == "ONNX Runtime is not installed."
    assert (torchscript.why, torchscript.get) == ("PyTorch is not installed.", "pip install torch")


def test_runtimes_that_are_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    tract, reference = diagnose(["tract", "onnx.reference"])
    assert (tract.there, tract.version, tract.why) == (True, PACKAGES["tract"].version, "")
    assert (reference.there, reference.version, bool(reference.device)) == (True, onnx.__version__, True)
    monkeypatch.setattr(Package, "version", "")
    (tract,) = diagnose(["tract"])
    assert (tract.there, tract.why, tract.get) == (False, "tract is not installed.", "pip install tract")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo of no use >&2; kill -SEGV $$", "The process that tried it ended with -11: of no use"),
        ("sleep 60", "It does not answer within 1 seconds."),
        (
            "echo 'E: Failed to load x.so with error: libcublas.so.13: no such file' >&2; "
            """echo '{"there": false, "version": "", "device": "", "why": "did not start"}'""",
            "libcublas.so.13: no such file",
        ),
    ],
)
def test_a_process_that_dies_hangs_or_complains(
    script: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(doctor, "_SECONDS", 1)
    (found,) = diagnose(["onnxruntime:cpu"])
    assert (found.there, found.why) == (False, why)
