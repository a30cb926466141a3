"""The built page as a runtime of `verify`, in chromium. `make test-web` builds it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from planting import write_bundle
from rnn_export import verify

from clients.readme_programs import assert_same, numbers_of, printed_by, told

WEB = Path(__file__).parents[2] / "clients" / "web"
WASM, WEBGPU = (WEB / "chromium" / name for name in ("wasm.js", "webgpu.js"))

pytestmark = pytest.mark.skipif(not (WEB / "dist").exists(), reason="the page is not built: make client-web")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("web") / "lstm", "single", settings={"cell": "lstm"}, target="webgpu")


def test_fresh_cases_pass_on_webgpu(bundle: Path) -> None:
    (report,) = verify(bundle, seed=0, runtime=f"program:{WEBGPU}").reports
    assert report.right, report.failure
    assert report.placement.version.endswith(" on WebGPU (SwiftShader)")


def test_each_case_is_timed(bundle: Path) -> None:
    done = run(WASM, "--time", bundle / "model.onnx", bundle / "cases.safetensors")
    times = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, _ in times] == ["ordinary-T1-N1", "ordinary-T7-N5"]
    assert all(float(time) > 0 for _, time in times)


def test_every_line_is_answered_when_no_more_come(bundle: Path, tmp_path: Path) -> None:
    lines = "".join(f"{bundle / 'cases.safetensors'}\t{tmp_path / name}\n" for name in ("one", "two"))
    done = subprocess.run(
        [WASM, bundle / "model.onnx"], input=lines, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "ready\n\n\n"), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_browser_that_does_not_start(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/bin/false")
    refused(run(WASM, bundle / "model.onnx", bundle / "cases.safetensors", "out"), "")


def test_webgpu_does_not_go_on_with_nodes_on_the_cpu(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", "single")
    refused(run(WEBGPU, bundle / "model.onnx"), "Some nodes of model.onnx run on the CPU.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "Give MODEL, MODEL CASES OUT"), (["none/model.onnx"], "bundle/none/manifest.json is not there.")],
)
def test_bad_arguments(arguments: list[str], message: str) -> None:
    refused(run(WASM, *arguments), message)


def test_without_a_browser(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/none")
    refused(run(WASM, bundle / "model.onnx"), "There is no chromium at /none. Install it (make browser)")


def test_the_page_and_the_program_in_a_readme_run_in_the_browser(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b", "tagger", settings={"cell": "lstm"}, stateful=True)
    lines = printed_by("node", WEB / "test" / "program.js", folder, folder=folder)
    assert_same(numbers_of(lines), told(folder))


def run(program: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=120)


def refused(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith(f"Error: {message}")
    assert done.stderr.count("\n") == 1
