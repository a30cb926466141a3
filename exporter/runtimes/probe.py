"""Try one runtime with a model of two nodes, in a process of its own: `python -m rnn_export.runtimes.probe RUNTIME`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from ..errors import RnnExportError, first_line
from .devices import device_of
from .open import open_session
from .session import Placement, ProviderOptions

_SIZE = 4


def probe(runtime: str, launch: ProviderOptions) -> dict[str, str | bool]:
    """Whether a model really ran there, which version, on what device, and if not, why not."""
    try:
        placement = _run(runtime, launch)
    except Exception as error:  # whatever it is, it is why the runtime is not there
        told = str(error) if isinstance(error, RnnExportError) else f"{type(error).__name__}: {first_line(error)}"
        return {"there": False, "version": "", "device": "", "why": told}
    ran = not placement.fallback
    return {
        "there": ran,
        "version": placement.version,
        "device": device_of(placement.provider) if ran else "",
        "why": "" if ran else f"It starts, but {placement.failure}.",
    }


def _run(runtime: str, launch: ProviderOptions) -> Placement:
    with tempfile.TemporaryDirectory() as folder:
        write = _write_torchscript if runtime == "torchscript" else _write_onnx
        session = open_session(runtime, write(Path(folder)), ("y",), launch)
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

    from ..pytorch.suppress import suppress_output

    with suppress_output():
        module = torch.jit.trace(torch.nn.Tanh(), torch.zeros(_SIZE, _SIZE))
        torch.jit.save(module, folder / "probe.pt")
    return folder / "probe.pt"


if __name__ == "__main__":
    library = Path(sys.argv[2]) if sys.argv[2:] else None
    print(json.dumps(probe(sys.argv[1], ProviderOptions(library=library))))
