"""The clients, as functions."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ONNX = ("onnxruntime", "openvino")
CLIENTS = ("onnxruntime", "libtorch", "openvino")
WRITERS = ("onnxruntime", "node")


@dataclass(frozen=True)
class Ended:
    """What a program printed and the code that it ended with; a signal is negative."""

    code: int
    stdout: str
    stderr: str

    @property
    def refused(self) -> bool:
        """Whether it said in one line what is wrong with what it was given."""
        return self.code == 2 and self.stdout == "" and self.stderr.count("\n") == 1 and self.stderr.endswith(".\n")


def program(name: str) -> Path:
    return ROOT / "build" / "clients" / name / f"rnn-export-{name}"


def execute(file: Path, *arguments: str | Path, **environment: str) -> Ended:
    """Run a program, with these environment variables besides."""
    environment = {**os.environ, **environment}
    done = subprocess.run(
        [file, *arguments], capture_output=True, text=True, errors="replace", timeout=120, check=False, env=environment
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def run(name: str, *arguments: str | Path) -> Ended:
    """Run a client that was built before."""
    assert program(name).is_file(), f"{name} is not built: make clients CLIENTS={name}"
    return execute(program(name), *arguments)
