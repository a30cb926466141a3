"""A web developer who gets a bundle's folder and nothing else: the program in JavaScript, run as the README says."""

from __future__ import annotations

import re
import shutil

import pytest
from walking import Newcomer, assert_prints, fenced


def test_the_readme_runs_in_node(newcomer: Newcomer) -> None:
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    newcomer.type("rnn-export onnx hetero --set input_size=3 --set hidden_sizes=4,5 --out shipped --quiet")
    readme = (newcomer.folder / "shipped" / "README.md").read_text()
    section = readme.partition("### JavaScript, ONNX Runtime")[2].partition("\n## ")[0]
    newcomer.save("shipped/run.mjs", fenced(section, "js")[0])
    install, run = re.findall(r"`(npm install onnxruntime-node|node run.mjs)`", section)
    newcomer.type(f"cd shipped && {install} --ignore-scripts")
    printed = newcomer.type(f"cd shipped && {run}").splitlines()
    assert_prints(printed, readme)
