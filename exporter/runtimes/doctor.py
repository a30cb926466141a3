"""Which runtimes and execution providers are there, proved by running a model in each; imports none of them itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import first_line
from .devices import nvidia_device
from .open import RUNTIMES
from .programs.packages import PACKAGES
from .providers import PROVIDERS, short_name

_SECONDS = 60

# What ONNX Runtime logs of a provider whose library does not load.
_LOGGED = re.compile(r"with error: (.+)")


@dataclass(frozen=True)
class Diagnosis:
    """Whether a runtime is there: a model ran in it, and nowhere else. If not, why not, and what gets it."""

    runtime: str
    there: bool
    version: str = ""
    device: str = ""
    why: str = ""
    get: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def diagnose(
    runtimes: Sequence[str] = (),
    library: Path | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[Diagnosis]:
    """Try these runtimes, or all that are known or installed, each in a process of its own.

    Args:
        library: a plug-in of ONNX Runtime.
        advance: called with how many are done, of how many.
    """
    version, installed = _installed()
    names = list(dict.fromkeys(runtimes or [*RUNTIMES, *installed]))
    found: list[Diagnosis] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tries = [pool.submit(_diagnose, name, library, version, installed) for name in names]
        for attempt in tries:
            found.append(attempt.result())
            advance(len(found), len(names))
    return found


def _installed() -> tuple[str, list[str]]:
    """The version of ONNX Runtime, and the runtimes that its packages here hold; empty where there is none."""
    try:
        import onnxruntime

        from .onnxruntime import built_in
        from .plugins import plugin_modules

        providers = [*built_in(), *(name for module in plugin_modules() for name in module.get_ep_names())]
        return str(onnxruntime.__version__), [f"onnxruntime:{short_name(name)}" for name in providers]
    except Exception:  # not installed, or broken: the probes say in which way
        return "", []


def _diagnose(runtime: str, library: Path | None, version: str, installed: Sequence[str]) -> Diagnosis:
    kind, _, name = runtime.partition(":")
    provider = PROVIDERS.get(name) if kind == "onnxruntime" else None
    get = provider.get if provider else ""
    if kind == "torchscript" and not find_spec("torch"):
        return Diagnosis(runtime, False, why="PyTorch is not installed.", get="pip install torch")
    if runtime in PACKAGES and not PACKAGES[runtime].version:
        package = PACKAGES[runtime]
        return Diagnosis(runtime, False, why=f"{package.name} is not installed.", get=package.get)
    if kind == "onnxruntime" and not find_spec("onnxruntime"):
        return Diagnosis(runtime, False, why="ONNX Runtime is not installed.", get=get)
    if provider and version and library is None and runtime not in installed:
        return Diagnosis(runtime, False, why=f"Not in ONNX Runtime {version} here; needs {provider.needs}.", get=get)
    found = Diagnosis(runtime, **_probe(runtime, library))
    if found.there or provider is None:
        return found
    no_gpu = provider.device == "cuda" and not nvidia_device()
    said = f"No CUDA device: nvidia-smi finds none. {found.why}" if no_gpu else found.why
    return replace(found, why=said, get=provider.start)


def _probe(runtime: str, library: Path | None) -> dict[str, Any]:
    # -P keeps the modules of the current folder from standing in for the packages.
    command = [sys.executable, "-P", "-m", f"{__package__}.probe", runtime, *([str(library)] if library else [])]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return {"there": False, "why": f"It does not answer within {_SECONDS} seconds."}
    try:
        found: dict[str, Any] = json.loads(ended.stdout.strip().rpartition("\n")[2])
    except ValueError:
        last = first_line(RuntimeError(ended.stderr.strip().rpartition("\n")[2]))
        return {"there": False, "why": f"The process that tried it ended with {ended.returncode}: {last}"}
    logged = _LOGGED.search(ended.stderr)
    return {**found, "why": logged[1] if logged and not found["there"] else found["why"]}
