"""`python -m versions 3.12:2.13.0 ...` runs a short set of tests with each Python and PyTorch, and writes the page.

Each has an environment of its own in build/versions, with what constraints.txt says but for PyTorch. A Python is a
program or a version, of which `python3.12` is looked for. The page keeps the rows of what was not run again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .page import PAGE, Row, read_rows, render

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "versions"

# Private names of PyTorch, control flow, loops, packed sequences, states of streams, TorchScript as input, and the
# messages that are read off PyTorch's own.
SHORT = (
    "tests/torch_internals/test_private_names.py",
    "tests/pytorch/test_control_flow.py",
    "tests/capture/test_packed.py",
    "tests/capture/test_growing.py",
    "tests/stream/test_states.py",
    "tests/pytorch/script/test_scripted_functions.py",
    "tests/pytorch/test_remedies.py",
)
NEEDED = ("allpairspy", "hypothesis", "jsonschema", "matplotlib", "networkx", "pytest", "tract")
TOLD = "import platform, torch, onnxruntime as o; print(platform.python_version(), torch.__version__, o.__version__)"


def main(wanted: Sequence[str]) -> int:
    rows = read_rows(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    found = [run(*each.rsplit(":", 1)) for each in wanted]
    rows |= {(row.python, row.torch): row for row in found}
    PAGE.write_text(render(rows.values()), encoding="utf-8")
    for row in found:
        print(f"Python {row.python}, PyTorch {row.torch}: {row.result}")
    return 0 if all("failed" not in row.result and "passed" in row.result for row in found) else 1


def run(python: str, torch: str) -> Row:
    """The short set with one Python and one PyTorch."""
    own = environment(python, torch)
    told = subprocess.run([own, "-W", "ignore", "-c", TOLD], cwd=BUILD, capture_output=True, text=True, check=True)
    # Warnings are not errors here: what is asked is whether results are right, and a newer PyTorch warns of more.
    command = [own, "-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider", *SHORT]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=one_thread, check=False)
    (BUILD / f"{python.replace('/', '+')}-{torch}.log").write_text(ended.stdout)
    last = ended.stdout.strip().rpartition("\n")[2]
    counted = re.findall(r"\d+ (?:passed|failed|skipped|errors?)", last)
    return Row(*told.stdout.split(), ", ".join(counted) or "the tests did not run")


def environment(python: str, torch: str) -> str:
    """The Python of the environment, with the package installed anew from the sources."""
    folder = BUILD / f"{python.replace('/', '+')}-{torch}"
    program = f"python{python}" if re.fullmatch(r"\d+\.\d+", python) else python
    own = str(folder / "bin" / "python")
    pip = [own, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    if not (folder / ".ready").exists():
        subprocess.run([program, "-m", "venv", folder], check=True)
        exact = ROOT / "constraints.txt"
        others = [line for line in exact.read_text().splitlines() if not line.startswith("torch==")]
        (folder / "constraints.txt").write_text("\n".join([*others, f"torch=={torch}", ""]))
        subprocess.run([*pip, "-c", folder / "constraints.txt", ROOT, *NEEDED], check=True)
        (folder / ".ready").touch()
    subprocess.run([*pip, "--no-deps", "--force-reinstall", ROOT], check=True)
    return own


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
