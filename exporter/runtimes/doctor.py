"""Find out which runtimes and execution providers work here, by running a model in each.

Each is tried in a process of its own, `python -m rnn_export.runtimes.doctor RUNTIME`, so that one that crashes, hangs
or loads the wrong library takes nothing with it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RnnExportError, first_line
from .open import RUNTIMES, open_session
from .placement import Placement
from .programs.packages import PACKAGES
from .provider_table import PROVIDERS, short_name
from .providers import device_of, nvidia_device
from .session import ProviderOptions

_SECONDS = 60

# What ONNX Runtime logs when a provider's library does not load.
_LOGGED = re.compile(r"with error: (.+)")


@dataclass(frozen=True)
class Diagnosis:
    """Whether a model ran in a runtime, and nowhere else; if not, the reason, and the command that gets the runtime."""

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
    """Try these runtimes, by default all that are known or installed, each in its own process.

    Args:
        library: a plug-in of ONNX Runtime.
        advance: called with the number of runtimes tried, and the number of all.
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
    """The version of the installed ONNX Runtime, and the runtimes in its packages; empty where there is none."""
    try:
        import onnxruntime

        from .providers import built_in, plugin_modules

        providers = [*built_in(), *(name for module in plugin_modules() for name in module.get_ep_names())]
        return str(onnxruntime.__version__), [f"onnxruntime:{short_name(name)}" for name in providers]
    except Exception:  # not installed, or broken: each probe will say how
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
    # -P keeps modules of the current folder from shadowing the packages.
    command = [sys.executable, "-P", "-m", __name__, runtime, *([str(library)] if library else [])]
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


_SIZE = 4


def probe(runtime: str, provider_options: ProviderOptions) -> dict[str, str | bool]:
    """Try one runtime in this process: whether a model of two nodes ran, the version, the device, or why not."""
    try:
        placement = _run(runtime, provider_options)
    except Exception as error:  # any error is a reason why the runtime does not work
        told = str(error) if isinstance(error, RnnExportError) else f"{type(error).__name__}: {first_line(error)}"
        return {"there": False, "version": "", "device": "", "why": told}
    ran = not placement.fallback
    return {
        "there": ran,
        "version": placement.version,
        "device": device_of(placement.provider) if ran else "",
        "why": "" if ran else f"It starts, but {placement.failure}.",
    }


def _run(runtime: str, provider_options: ProviderOptions) -> Placement:
    with tempfile.TemporaryDirectory() as folder:
        write = _write_torchscript if runtime == "torchscript" else _write_onnx
        session = open_session(runtime, write(Path(folder)), ("y",), provider_options)
        x = np.eye(_SIZE, dtype=np.float32)
        if not np.allclose(session.run({"x": x})["y"], np.tanh(x), atol=1e-2):
            raise ValueError("a product and a tanh of it came out wrong")
        return session.placement()


def _write_onnx(folder: Path) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("MatMul", ["x", "w"], ["product"]), helper.make_node("Tanh", ["product"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", _SIZE]) for name in "xy")
    w = numpy_helper.from_array(np.eye(_SIZE, dtype=np.float32), "w")
    graph = helper.make_graph(nodes, "probe", [x], [y], [w])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "probe.onnx")
    return folder / "probe.onnx"


def _write_torchscript(folder: Path) -> Path:
    import torch

    from ..pytorch.run import suppress_output

    with suppress_output():
        module = torch.jit.trace(torch.nn.Tanh(), torch.zeros(_SIZE, _SIZE))
        torch.jit.save(module, folder / "probe.pt")
    return folder / "probe.pt"


if __name__ == "__main__":
    library = Path(sys.argv[2]) if sys.argv[2:] else None
    print(json.dumps(probe(sys.argv[1], ProviderOptions(library=library))))
