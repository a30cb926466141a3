"""`verify --runtime` and `doctor`: what they print, and what they exit with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
from click.testing import Result
from planting import write_bundle
from rnn_export.runtimes.onnxruntime import OnnxRuntimeSession
from rnn_export.runtimes.placement import Placement, Ran

Cli = Callable[..., Result]
CPU, GPU = "CPUExecutionProvider", "WebGpuExecutionProvider"


@pytest.fixture
def bundle(cli: Cli, tmp_path: Path) -> str:
    write_bundle(tmp_path / "artifacts" / "tagger", "tagger")
    return "artifacts/tagger"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions whose one heavy operator ran on the CPU, although they were asked for WebGPU."""
    nodes = [
        Ran("GRU", CPU, 2, 0.7, "computes"),
        Ran("Concat", GPU, 1, 0.297, "computes"),
        Ran("Shape", CPU, 1, 0.003, "sizes"),
    ]
    monkeypatch.setattr(OnnxRuntimeSession, "placement", lambda self: Placement(GPU, "1.27.0", nodes))


def test_verify_shows_what_ran_where(cli: Cli, bundle: str) -> None:
    result = cli("verify", bundle, "--runtime", "onnxruntime:cpu")
    assert result.exit_code == 0, result.output
    assert f"model.onnx on {CPU} {onnxruntime.__version__}" in result.stdout
    assert "Operator" in result.stdout
    assert f"PASS  All that computes ran on {CPU}." in result.stdout
    assert "Operator" not in cli("verify", bundle).stdout
    data = json.loads(cli("verify", bundle, "--runtime", "onnxruntime:cpu", "--json").stdout)
    placement = data["reports"][0]["placement"]
    assert (placement["provider"], placement["version"]) == (CPU, onnxruntime.__version__)
    assert (placement["fallback"], data["reports"][0]["allow_fallback"]) == ([], False)
    assert {"operator", "provider", "runs", "share", "role"} == set(placement["nodes"][0])


def test_an_export_writes_where_it_was_proved(cli: Cli) -> None:
    result = cli("onnx", "--model", "single", "--set=input_size=3", "--set=hidden_size=4", "--json")
    placement = json.loads(result.stdout)["report"]["placement"]
    assert placement["provider"] == CPU
    assert placement["nodes"]


@pytest.mark.usefixtures("elsewhere")
def test_what_ran_elsewhere_fails_unless_allowed(cli: Cli, bundle: str) -> None:
    result = cli("verify", bundle, "--runtime", "onnxruntime:cpu")
    assert result.exit_code == 1
    assert "FALLBACK" in result.stdout
    assert "<1%" in result.stdout
    assert "computes sizes" in result.stdout
    assert f"FAIL  70% of the time went to nodes that did not run on {GPU}." in result.stdout
    assert (
        f"is right, but did not run entirely in onnxruntime:cpu: GRU (2 runs, 70% of the time) ran on {CPU}."
        in result.stderr
    )
    allowed = cli("verify", bundle, "--runtime", "onnxruntime:cpu", "--allow-fallback")
    assert allowed.exit_code == 0
    assert "fallback, allowed" in allowed.stdout
    assert "ALLOWED  70% of the time" in allowed.stdout


@pytest.mark.usefixtures("elsewhere")
def test_what_ran_elsewhere_is_in_the_json(cli: Cli, bundle: str) -> None:
    result = cli("verify", bundle, "--runtime", "onnxruntime:cpu", "--json")
    assert result.exit_code == 1
    data, _ = json.JSONDecoder().raw_decode(result.stdout)
    assert (data["passed"], data["reports"][0]["passed"]) == (False, False)
    assert data["reports"][0]["placement"]["fallback"] == ["GRU"]
    assert "GRU (2 runs, 70% of the time)" in data["reports"][0]["failure"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--runtime", "onnxruntime:dml"],
            "has no DmlExecutionProvider here. Get it with: rnn-export install onnxruntime:dml",
        ),
        (["--runtime", "onnxruntime:cup"], "Did you mean 'onnxruntime:cpu'?"),
        (["--runtime", "torchscript"], "holds no file that torchscript takes. Export the model in that format too."),
        (["--strict"], "Options of an execution provider need one. Give a runtime, such as onnxruntime:cuda."),
        (["--allow-fallback"], "Options of an execution provider need one."),
        (["--runtime", "onnxruntime:cpu", "--strict"], "onnxruntime:cpu runs on the CPU, which --strict forbids."),
        (["--strict", "--allow-fallback"], "--strict forbids what --allow-fallback accepts."),
        (["--provider-option", "use_tf32"], "'use_tf32' is no option of an execution provider. Write it as KEY=VALUE"),
    ],
)
def test_what_cannot_be_asked_for(cli: Cli, bundle: str, arguments: list[str], said: str) -> None:
    result = cli("verify", bundle, *arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr


def test_a_runtime_in_a_process_of_its_own(cli: Cli) -> None:
    sizes = ["--set=input_size=3", "--set=hidden_size=4"]
    assert cli("onnx", "--model", "single", *sizes, "--target", "portable", "--quiet").exit_code == 0
    result = cli("verify", "artifacts/single", "--runtime", "tract")
    assert result.exit_code == 0, result.output
    assert "model.onnx on tract 0." in result.stdout
    assert "It tells nothing of execution providers." in result.stdout
    assert cli("onnx", "--model", "single", *sizes, "--lowering", "native", "--quiet").exit_code == 0
    refused = cli("verify", "artifacts/single", "--runtime", "tract")
    assert refused.exit_code == 2
    assert "does not load model.onnx: its process ended with SIGABRT" in " ".join(refused.stderr.split())


def test_doctor(cli: Cli) -> None:
    result = cli("doctor", "onnxruntime:cpu", "torchscript")
    assert result.exit_code == 0, result.output
    assert onnxruntime.__version__ in result.stdout
    missing = cli("doctor", "onnxruntime:cpu", "onnxruntime:dml", "--json")
    assert missing.exit_code == 2
    data, _ = json.JSONDecoder().raw_decode(missing.stdout)
    assert [entry["there"] for entry in data] == [True, False]
    assert "onnxruntime:dml is not there. Not in ONNX Runtime" in missing.stderr
