"""An empty input is refused before ONNX Runtime sees it, which would end the process: each is tried in its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rnn_export import Signature, export_onnx
from rnn_export.bundle.programs.call import Filled, ProgramSpec
from rnn_export.bundle.programs.snippets import program
from torch import nn

KINDS = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}
EMPTY = [(0, 2), (2, 0), (0, 0)]

RAW = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
session.run(None, {"x": numpy.zeros((int(sys.argv[2]), int(sys.argv[3]), 3), "float32")})
"""
OURS = """
import sys, numpy
from pathlib import Path
from rnn_export import InputError
from rnn_export.runtimes.open import open_session
session = open_session("onnxruntime:cpu", Path(sys.argv[1]), ("output",))
for shape in [(0, 2, 3), (2, 0, 3), (0, 0, 3)]:
    try:
        session.run({"x": numpy.zeros(shape, "float32")})
    except InputError as error:
        print(error)
"""
STREAM = """
import sys, numpy
from rnn_export import InputError, Stream
stream = Stream(sys.argv[1])
for shape in [(0, 1, 3), (2, 0, 3), (0, 0, 3)]:
    try:
        stream.run(numpy.zeros(shape, "float32"))
    except InputError as error:
        print(error)
try:
    Stream(sys.argv[1], sizes={"N": 0})
except InputError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    signature = Signature({"x": "float32[T, N, 3]"})
    for kind, layer in KINDS.items():
        for form in ("native", "scan"):
            export_onnx(layer(3, 4), signature, folder / f"{kind}-{form}", lowering=form, verify=False)
    export_onnx(nn.GRU(3, 4), signature, folder / "stream", lowering="native", stateful=True, verify=False)
    return folder


def run(code: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=cwd)


def test_which_kernels_end_the_process(bundles: Path) -> None:
    """If this fails for a kernel that is named, ONNX Runtime has mended it, and design.md says otherwise."""
    ended = {
        (bundle, sizes)
        for bundle in ("gru-native", "lstm-native", "rnn-native", "gru-scan")
        for sizes in EMPTY[:2]
        if run(RAW, bundles / bundle / "model.onnx", *sizes).returncode < 0
    }
    assert ended == {("gru-native", (0, 2)), ("gru-native", (2, 0)), ("lstm-native", (2, 0))}


@pytest.mark.parametrize("form", ["native", "scan"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_session_refuses_what_is_empty(kind: str, form: str, bundles: Path) -> None:
    found = run(OURS, bundles / f"{kind}-{form}" / "model.onnx")
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert len(lines) == len(EMPTY)
    for line, sizes in zip(lines, EMPTY, strict=True):
        assert line.startswith(f"Input 'x' is float32[{sizes[0]}, {sizes[1]}, 3], which is empty. Give at least one")


def test_a_stream_refuses_what_is_empty(bundles: Path) -> None:
    found = run(STREAM, bundles / "stream")
    assert found.returncode == 0, found.stderr
    assert len(found.stdout.splitlines()) == 4
    assert "The chunk has no time step. Feed at least one." in found.stdout
    assert "The size of N is 0. Give a whole number, 1 or more." in found.stdout


@pytest.mark.parametrize("sizes", EMPTY)
def test_the_program_of_a_bundle_refuses_what_is_empty(sizes: tuple[int, int], bundles: Path) -> None:
    inputs = {"x": Filled("float32", (*sizes, 3), (0.0,))}
    code = program("onnxruntime.py", ProgramSpec("model.onnx", inputs, {"output": "float32"}, {}, None))
    found = run(code, cwd=bundles / "gru-native")
    assert found.returncode == 1
    assert "ValueError: An input is empty, and ONNX Runtime would end the process." in found.stderr


def test_the_programs_in_other_languages_refuse_it_too(bundles: Path) -> None:
    readme = (bundles / "gru-native" / "README.md").read_text()
    assert readme.count("An input is empty, and ONNX Runtime would end the process.") == 3
    assert "No size may be 0" in readme
