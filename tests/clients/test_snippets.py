"""The C++ programs in a bundle's README are built as it says, from the folder alone, and print the numbers in it."""

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
from clients.readme_programs import HALF, assert_same, expected, fenced, numbers_of, saved, section, told


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


WARNINGS = "-Wall -Wextra -Werror"


def write_extremes(folder: Path) -> None:
    torch.manual_seed(0)
    signature = Signature({"x": "float32[T, N, 3]"}, outputs=["y", "seen"])
    export_onnx(Extremes().eval(), signature, folder, stateful=True, verify=False)


def lines_of(folder: Path, command: str, **variables: str) -> list[str]:
    """What a reader's command prints, in an environment with nothing of this repository but the library."""
    environment = {"PATH": "/usr/bin:/bin", "CXXFLAGS": WARNINGS, **variables}
    done = subprocess.run(
        ["bash", "-ec", command], cwd=folder, capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def by_compiler(folder: Path, title: str, **variables: str) -> list[str]:
    """What the program prints that the shell's lines build; what they set is given."""
    lines = fenced(section(folder, title), "sh").splitlines()
    assert [line.partition("=")[0] for line in lines if line.startswith("export")] == [
        f"export {name}" for name in variables
    ]
    command = "\n".join(line for line in lines if not line.startswith("export"))
    return lines_of(folder, command.replace("g++ ", f"g++ {WARNINGS} "), **variables)


def by_cmake(folder: Path, title: str, command: str, **variables: str) -> list[str]:
    """What the program prints that the page's project builds."""
    (folder / "CMakeLists.txt").write_text(fenced(section(folder, title), "cmake"))
    assert command in section(folder, title)
    *built, run = command.split(" && ")
    lines_of(folder, " && ".join(built), **variables)
    return lines_of(folder, run)


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
    folder, title = tmp_path / "b", "C++, ONNX Runtime"
    write_one(folder)
    saved(folder, title)
    library = cached("onnxruntime", "ONNXRUNTIME_ROOT")
    rel = HALF if write_one is write_half else 1e-3
    assert_same(numbers_of(by_compiler(folder, title, ONNXRUNTIME=library)), told(folder), rel=rel)
    assert_same(expected(folder), told(folder), rel=rel)


@chosen("onnxruntime")
def test_onnxruntime_by_cmake(tmp_path: Path) -> None:
    folder, title = tmp_path / "b", "C++, ONNX Runtime"
    write_learned_stateful(folder)
    saved(folder, title)
    command = 'cmake -S . -B build -DCMAKE_PREFIX_PATH="$ONNXRUNTIME" && cmake --build build && build/run'
    library = cached("onnxruntime", "ONNXRUNTIME_ROOT")
    assert_same(numbers_of(by_cmake(folder, title, command, ONNXRUNTIME=library)), told(folder))


@chosen("openvino")
def test_openvino(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b", "tagger", settings={"cell": "lstm"}, target="openvino", stateful=True)
    saved(folder, "C++, OpenVINO")
    command = "cmake -S . -B build && cmake --build build && build/run_openvino"
    found = by_cmake(folder, "C++, OpenVINO", command, OpenVINO_DIR=cached("openvino", "OpenVINO_DIR"))
    assert_same(numbers_of(found), told(folder))


@pytest.mark.filterwarnings("ignore:.*torch.jit.load.* is deprecated:DeprecationWarning")
@chosen("libtorch")
def test_libtorch(tmp_path: Path) -> None:
    folder, title = tmp_path / "b", "C++, LibTorch"
    loaded = load("single", **SMALL["single"], seed=3)
    export_torchscript(loaded.model, loaded.signature, folder, verify=False)
    saved(folder, title)
    library = str(Path(cached("libtorch", "Torch_DIR")).parents[2])
    assert_same(numbers_of(by_compiler(folder, title, TORCH=library)), told(folder))
    command = 'cmake -S . -B build -DCMAKE_PREFIX_PATH="$TORCH" && cmake --build build && build/run_torch'
    assert_same(numbers_of(by_cmake(folder, title, command, TORCH=library)), told(folder))
