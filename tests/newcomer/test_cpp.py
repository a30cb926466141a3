"""A C++ engineer who gets a bundle's folder and nothing else: its README builds the program and says what it prints."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from walking import Newcomer, assert_prints, fenced


def test_the_readme_builds_a_program_that_prints_what_it_says(newcomer: Newcomer) -> None:
    release = os.environ.get("ONNXRUNTIME_ROOT", "build/newcomer/onnxruntime")
    if not Path(release, "include").is_dir() or shutil.which("g++") is None:
        pytest.skip("there is no unpacked release of ONNX Runtime (clients/onnxruntime/setup.sh says why), or no g++")
    newcomer.type("rnn-export onnx hetero --set input_size=3 --set hidden_sizes=4,5 --out shipped --quiet")
    readme = (newcomer.folder / "shipped" / "README.md").read_text()
    section = readme.partition("### C++, ONNX Runtime")[2].partition("\n### ")[0]
    newcomer.save("shipped/run.cpp", fenced(section, "cpp")[0])
    lines = fenced(section, "sh")[0].splitlines()
    lines[0] = f'export ONNXRUNTIME="{Path(release).resolve()}"'
    printed = newcomer.type("cd shipped\n" + "\n".join(lines)).splitlines()
    assert_prints(printed, readme)
