"""What a reader has who holds a bundle's folder alone: the program in Python prints the numbers that the page tells."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from clients.readme_programs import HALF, assert_same, numbers_of, saved, section, told
from conftest import SMALL
from rnn_export import Signature, export_onnx, export_torchscript, load
from rnn_export.bundle.manifest import README
from rnn_export.publish.copy_bundle import copy_bundle
from torch import Tensor, nn


class Embedded(nn.Module):
    """Tokens int64[N, T], lengths int64[N] and a gate float32[N, 1] to y, a flag and an integer of each sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 3)
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, tokens: Tensor, lengths: Tensor, gate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = self.rnn(self.embedding(tokens))[0] * gate.sqrt().unsqueeze(-1)
        last = y[torch.arange(y.size(0)), lengths - 1]
        return y, last[:, 0] > 0, lengths * 10_000_000


EMBEDDED = {"tokens": "int64[N, T] in 0..3", "lengths": "int64[N] in 1..T", "gate": "float32[N, 1] > 0"}


def write_embedded(folder: Path) -> None:
    export_onnx(Embedded().eval(), Signature(EMBEDDED, ["y", "flag", "scaled"]), folder, verify=False)


class Convolved(nn.Module):
    """A step of output for every window of five of x [N, 2, T]; without biases."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 3, 5, bias=False)
        self.rnn = nn.RNN(3, 4, batch_first=True, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.rnn(self.conv(x).transpose(1, 2))[0]
        return output


def write_convolved(folder: Path) -> None:
    export_onnx(Convolved().eval(), Signature({"x": "float32[N, 2, T]"}, ["y"]), folder, verify=False)


def write_half(folder: Path) -> None:
    export_onnx(nn.RNN(3, 4).half().eval(), Signature({"x": "float16[T, N, 3]"}), folder, verify=False)


def write_stream(folder: Path) -> None:
    loaded = load("tagger", **SMALL["tagger"])
    export_onnx(loaded.model, loaded.signature, folder, source=loaded.source, stateful=True, verify=False)


WRITERS = {
    "embedded": write_embedded,
    "convolved": write_convolved,
    "half": write_half,
    "stream": write_stream,
}


def only(tmp_path: Path, *packages: str) -> Path:
    """A folder with these packages of the environment, and no other."""
    site = tmp_path / "site"
    site.mkdir()
    for name in packages:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent
        for each in (folder, folder.with_name(f"{name}.libs")):
            if each.exists():
                (site / each.name).symlink_to(each)
    return site


ISOLATED = """
import runpy, sys
sys.path.append(sys.argv[1])
runpy.run_path(sys.argv[2])
assert not {"torch", "rnn_export"} & sys.modules.keys()
"""


@pytest.mark.parametrize("kind", WRITERS)
def test_the_program_prints_the_numbers_in_the_page(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    WRITERS[kind](tmp_path / "exported")
    folder = Path(shutil.copytree(tmp_path / "exported", tmp_path / "copied"))
    file = saved(folder, "Python, ONNX Runtime")
    site = only(tmp_path, "numpy", "onnxruntime")
    command = [sys.executable, "-I", "-S", "-c", ISOLATED, str(site), file.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={}, timeout=120)
    assert done.returncode == 0, done.stderr
    assert_same(numbers_of(done.stdout.splitlines()), told(folder), rel=HALF if kind == "half" else 1e-3)
    assert any(0 < abs(number) < 1 for _, numbers in told(folder) for number in numbers)


@pytest.mark.filterwarnings("ignore:.*torch.jit.load.* is deprecated:DeprecationWarning")
def test_the_program_for_torchscript_does_so(tmp_path: Path) -> None:
    loaded = load("single", **SMALL["single"])
    export_torchscript(loaded.model, loaded.signature, tmp_path / "b", verify=False)
    file = saved(tmp_path / "b", "Python, PyTorch")
    command = [sys.executable, "-W", "ignore", file.name]
    done = subprocess.run(command, cwd=tmp_path / "b", capture_output=True, text=True, check=True, timeout=120)
    assert_same(numbers_of(done.stdout.splitlines()), told(tmp_path / "b"))


def test_the_page_names_what_each_program_needs_and_nothing_of_a_checkout(tmp_path: Path) -> None:
    write_stream(tmp_path / "b")
    needed: Mapping[str, tuple[str, ...]] = {
        "Python, ONNX Runtime": ("`pip install onnxruntime numpy`", "`python run.py`"),
        "C++, ONNX Runtime": ("releases", "libonnxruntime-dev", "NuGet", "\ng++ ", "cmake_minimum_required"),
        "JavaScript, ONNX Runtime": ("`npm install onnxruntime-node`", "`npm install onnxruntime-web`", "<script"),
    }
    for title, words in needed.items():
        assert [word for word in words if word not in section(tmp_path / "b", title)] == []
    page = (tmp_path / "b" / README).read_text()
    assert "ONNX Runtime 1.15 or newer loads it (opset 18)." in page
    assert not any(path in page for path in ("build/clients", "client.mjs", "/work", str(tmp_path)))
    assert len(page.splitlines()) < 200


def test_a_file_that_does_not_run_here_has_no_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr("rnn_export.bundle.programs.printed.open_session", refuse)
    write_convolved(tmp_path / "b")
    page = (tmp_path / "b" / README).read_text()
    assert "It could not be run where this page was written" in page
    assert "```text" not in page


def test_a_model_without_stored_cases_is_run_at_the_least_sizes(tmp_path: Path) -> None:
    write_convolved(tmp_path / "b")
    copy_bundle(tmp_path / "b", tmp_path / "c", without=["cases"])
    assert "T: time steps, 5 or more" in (tmp_path / "c" / README).read_text()
    assert "(1, 2, 5))" in (tmp_path / "c" / README).read_text()
    assert told(tmp_path / "c") != []
