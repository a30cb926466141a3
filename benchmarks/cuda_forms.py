"""A recurrent layer on an NVIDIA GPU: eager PyTorch, ONNX's own operator, and a Scan; internals/lowering.md quotes it.

Run as `make cuda-forms` on a machine with one. Inputs and outputs lie in the GPU's memory, float32 is without
TensorFloat-32, all of a row take turns in one process, and medians of wall time are printed with what cuDNN gives.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import astuple
from pathlib import Path
from statistics import median

import onnxruntime as ort
import torch
from rnn_export import Signature, export_onnx
from rnn_export.runtimes.providers import nvidia_device
from rnn_export.spec.forms import Lowering
from torch import Tensor, nn

from .rows import Shape
from .step_settings import Outputs

LAYERS: Mapping[str, Callable[..., nn.RNNBase]] = {
    "RNN": nn.RNN,
    "RNN relu": lambda *sizes: nn.RNN(*sizes, nonlinearity="relu"),
    "GRU": nn.GRU,
    "LSTM": nn.LSTM,
}
DTYPES = {"float32": torch.float32, "float16": torch.float16}
FORMS: tuple[Lowering, ...] = ("native", "scan")
ROUNDS, LEAST = 15, 0.02

SHAPES = (
    Shape(35, 32, 100, 256, 4),
    Shape(100, 64, 256, 512, 1),
    Shape(1000, 1, 64, 128, 1),
    Shape(50, 1, 100, 256, 4),
    Shape(1, 1, 100, 256, 4),
    Shape(1, 1, 100, 1024, 2),
    Shape(1, 1, 10, 20, 1),
    Shape(1, 32, 100, 256, 4),
)


def main() -> None:
    print(f"{nvidia_device()}, torch {torch.__version__}, ONNX Runtime {ort.__version__}; milliseconds")
    print(f"{'layer':10}{'dtype':9}{'T N I H L':20}{'eager':>9}{'native':>9}{'scan':>9}{'native/eager':>14}")
    torch.backends.cudnn.allow_tf32 = False
    ort.preload_dlls()
    with tempfile.TemporaryDirectory() as folder:
        for kind, build in LAYERS.items():
            for dtype in DTYPES:
                for shape in SHAPES:
                    print(row(kind, build, dtype, shape, Path(folder)), flush=True)


def row(kind: str, build: Callable[..., nn.RNNBase], dtype: str, shape: Shape, folder: Path) -> str:
    torch.manual_seed(0)
    model = Outputs(build(shape.I, shape.H, shape.L)).to(DTYPES[dtype]).eval()
    folder = folder / f"{kind} {dtype} {shape.I} {shape.H} {shape.L}"
    x = torch.randn(shape.T, shape.N, shape.I).to(DTYPES[dtype])
    runs = {str(form): on_cuda(exported(model, dtype, shape, form, folder), x) for form in FORMS}
    runs["eager"] = eager(model.cuda(), x.cuda())
    ms = medians(runs)
    sizes = " ".join(map(str, astuple(shape)))
    return (
        f"{kind:10}{dtype:9}{sizes:20}{ms['eager']:9.3f}{ms['native']:9.3f}{ms['scan']:9.3f}"
        f"{ms['native'] / ms['eager']:14.2f}"
    )


def exported(model: nn.Module, dtype: str, shape: Shape, form: Lowering, folder: Path) -> Path:
    file = folder / form / "model.onnx"
    if not file.exists():
        signature = Signature({"x": f"{dtype}[T, N, {shape.I}]"}, ["output"])
        export_onnx(model, signature, file.parent, target="cuda", lowering=form, verify=False)
    return file


def on_cuda(file: Path, x: Tensor) -> Callable[[], object]:
    """A run of the file with its input and output bound in the GPU's memory."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(file, options, providers=[("CUDAExecutionProvider", {"use_tf32": "0"})])
    if "CUDAExecutionProvider" not in session.get_providers():
        raise SystemExit("CUDAExecutionProvider did not start; `rnn-export doctor onnxruntime:cuda` says why.")
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x.numpy(), "cuda", 0))
    binding.bind_output("output", "cuda")
    return lambda: session.run_with_iobinding(binding)


def eager(model: nn.Module, x: Tensor) -> Callable[[], object]:
    def run() -> object:
        with torch.inference_mode():
            output = model(x)
        torch.cuda.synchronize()
        return output

    return run


def medians(runs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Milliseconds of a run, of rounds that take turns and last so long each that the clock does not count."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    counts = {name: repeats(run) for name, run in runs.items()}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begin = time.perf_counter()
            for _ in range(counts[name]):
                run()
            times[name].append((time.perf_counter() - begin) / counts[name] * 1e3)
    return {name: median(taken) for name, taken in times.items()}


def repeats(run: Callable[[], object]) -> int:
    for _ in range(3):
        run()
    begin = time.perf_counter()
    run()
    return max(1, round(LEAST / (time.perf_counter() - begin)))


if __name__ == "__main__":
    main()
