"""The C++ programs in a bundle's README compile without a warning, and print what the one in Python prints."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import SMALL
from planting import write_bundle
from rnn_export import Signature, export_onnx, load
from rnn_export.export import export_torchscript
from torch import Tensor, nn

from clients.exported import write_half, write_learned_stateful, write_tags
from clients.programs import ROOT
from clients.readme_programs import assert_same, expected, numbers_of, printed_by, program_in


class Extremes(nn.Module):
    """States from the largest float to a boolean: x [T, N, 3] to [T, N, 4]."""

    def __init__(self) -> None:
        super().__init__()
        least = float(torch.finfo(torch.float32).min)
        self.best = nn.Parameter(torch.tensor([least, 1e30, 123456792.0, -0.0]))
        self.fc = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        best = self.best.expand(x.size(1), 4)
        seen = torch.zeros(x.size(1), 4, dtype=torch.bool)
        outputs = []
        for t in range(x.size(0)):
            seen = seen | (self.fc(x[t]) > 0)
            best = torch.where(seen, self.fc(x[t]), best)
            outputs.append(best.clamp(-9, 9))
        return torch.stack(outputs), seen


def write_extremes(folder: Path) -> None:
    torch.manual_seed(0)
    signature = Signature({"x": "float32[T, N, 3]"}, outputs=["y", "seen"])
    export_onnx(Extremes().eval(), signature, folder, stateful=True, verify=False)


# A project as a user has one; the libraries are found where those of the clients were found.
PROJECT = """\
cmake_minimum_required(VERSION 3.18)
project(snippet CXX)
set(CMAKE_CXX_STANDARD 17)
add_executable(snippet snippet.cpp)
target_compile_options(snippet PRIVATE -Wall -Wextra -Werror)
"""
ONNXRUNTIME = """\
target_include_directories(snippet SYSTEM PRIVATE {0}/include)
target_link_libraries(snippet PRIVATE {0}/lib/libonnxruntime.so)
"""
PACKAGE = """\
find_package({0} REQUIRED PATHS {1} NO_DEFAULT_PATH)
target_link_libraries(snippet PRIVATE {2})
"""


def built(folder: Path, title: str, libraries: str) -> Path:
    """The program under a heading of the README in a folder, built beside that folder."""
    out = folder.parent / "build"
    out.mkdir()
    (out / "snippet.cpp").write_text(program_in(folder, title))
    (out / "CMakeLists.txt").write_text(PROJECT + libraries)
    for command in (["cmake", "-S", out, "-B", out], ["cmake", "--build", out]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return out / "snippet"


def cached(client: str, name: str) -> str:
    """A folder that CMake was given, or found, when the client was built."""
    cache = (ROOT / "build" / "clients" / client / "CMakeCache.txt").read_text()
    found = re.search(rf"^{name}:\w+=(.*)$", cache, re.M)
    assert found is not None
    return found[1]


def chosen(client: str) -> pytest.MarkDecorator:
    """The variable CLIENTS leaves some out."""
    return pytest.mark.skipif(client not in os.environ.get("CLIENTS", client), reason=f"CLIENTS leaves {client} out")


@chosen("onnxruntime")
@pytest.mark.parametrize("write_one", [write_learned_stateful, write_tags, write_half, write_extremes])
def test_onnxruntime(write_one: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "b"
    write_one(folder)
    program = built(folder, "C++, ONNX Runtime", ONNXRUNTIME.format(cached("onnxruntime", "ONNXRUNTIME_ROOT")))
    assert_same(numbers_of(printed_by(program, folder=folder)), expected(folder))


@chosen("openvino")
def test_openvino(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b", "tagger", settings={"cell": "lstm"}, target="openvino", stateful=True)
    libraries = PACKAGE.format("OpenVINO", cached("openvino", "OpenVINO_DIR"), "openvino::runtime")
    program = built(folder, "C++, OpenVINO", libraries)
    assert_same(numbers_of(printed_by(program, folder=folder)), expected(folder))


@pytest.mark.filterwarnings("ignore:.*torch.jit.load.* is deprecated:DeprecationWarning")
@chosen("libtorch")
def test_libtorch(tmp_path: Path) -> None:
    """It prints whole tensors, with four digits each."""
    loaded = load("single", **SMALL["single"], seed=3)
    folder = export_torchscript(loaded.model, loaded.signature, tmp_path / "b", verify=False).folder
    program = built(folder, "C++, LibTorch", PACKAGE.format("Torch", cached("libtorch", "Torch_DIR"), "torch"))
    done = subprocess.run([program], cwd=folder, capture_output=True, text=True, check=True)
    model = torch.jit.load(folder / "model.pt")
    numbers = torch.cat([tensor.flatten() for tensor in model(torch.zeros(7, 5, 3))])
    assert [float(text) for text in re.findall(r"-?\d+\.\d{4}\b", done.stdout)] == pytest.approx(
        numbers.tolist(), abs=6e-5
    )
