"""What grows with time and batch, and what must not: seconds of a run and of an export, memory, size of a file."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from .apart import apart, peak_memory
from .engines import read_case
from .files import place
from .records import Export, Memory
from .rows import MODELS, Model, Row, Shape

if TYPE_CHECKING:
    from torch import Tensor

ENGINES = ("eager", "deprecated exporter", "ours")
TIMES = (10, 100, 1000, 10_000)
BATCHES = (1, 4, 16, 64, 256)
LAYERS = (1, 2, 4, 8, 16, 32)
# PyTorch itself takes seconds for a loop of more steps.
LONGEST_LOOP = 1000
# A trace writes a loop out step by step, which takes minutes beyond this.
LONGEST_TRACE = 100
_I, _H = 64, 128
_REPEATS = 3
_LONG = 5.0


def rows(models: Sequence[Model] = MODELS, times: Sequence[int] = TIMES, batches: Sequence[int] = BATCHES) -> list[Row]:
    """One layer, in one thread: N=1 over T, then T=35 over N."""
    over_time = [Row(model, Shape(T, 1, _I, _H, 1), 1) for model in models for T in times]
    return over_time + [Row(model, Shape(35, N, _I, _H, 1), 1) for model in models for N in batches]


def memory(row: Row, folder: Path) -> list[Memory]:
    """Of sessions on the file of the deprecated exporter, and on ours."""
    found = []
    for way in ("deprecated.onnx", "ours/model.onnx"):
        whole, _, file = way.partition("/")
        path = place(folder, row.model, row.shape, whole) / file
        loaded, run = apart(_session_memory, path, row, folder)
        found.append(Memory(row.model, whole, row.shape.T, loaded, run))
    return found


def exports_over_time(times: Sequence[int] = TIMES) -> list[Export]:
    """Exports at each traced T, and for the loop those of a trace."""
    found = apart(_ours, "LSTM", times, (1,))
    found += apart(_ours, "from-scratch", [T for T in times if T <= LONGEST_LOOP], (1,))
    return found + apart(_traced, [T for T in times if T <= LONGEST_TRACE])


def exports_over_layers(layers: Sequence[int] = LAYERS) -> list[Export]:
    """Exports of ever deeper LSTMs."""
    return apart(_ours, "LSTM", (7,), layers)


def _session_memory(path: Path, row: Row, folder: Path) -> tuple[int, int]:
    import onnxruntime as ort

    task, _ = read_case(row, folder)
    options = ort.SessionOptions()
    options.intra_op_num_threads = row.threads
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    loaded = peak_memory()
    session.run(None, dict(task.inputs))
    return loaded, peak_memory()


def _ours(model: Model, times: Sequence[int], layers: Sequence[int]) -> list[Export]:
    import torch
    from rnn_export import export_onnx

    from .networks import build

    torch.set_num_threads(1)

    def export(T: int, L: int, out: Path) -> None:
        # An example of one sequence would stand for models of one sequence alone.
        network = build(model, Shape(T, 2, _I, _H, L))
        export_onnx(network.module, network.signature, out, example=network.inputs, verify=False)

    return _all_timed(model, "ours", times, layers, export)


def _traced(times: Sequence[int]) -> list[Export]:
    import torch

    from .networks import build

    torch.set_num_threads(1)

    def export(T: int, L: int, out: Path) -> None:
        network = build("from-scratch", Shape(T, 2, _I, _H, L))
        inputs: tuple[Tensor, ...] = tuple(network.inputs.values())
        out.mkdir(exist_ok=True)
        torch.onnx.export(network.module, inputs, out / "model.onnx", dynamo=False)

    return _all_timed("from-scratch", "deprecated exporter, not scripted", times, (1,), export)


def _all_timed(
    model: str, exporter: str, times: Sequence[int], layers: Sequence[int], export: Callable[[int, int, Path], object]
) -> list[Export]:
    # The first export of a process imports much that the next ones find.
    _timed(model, exporter, times[0], layers[0], export)
    return [_timed(model, exporter, T, L, export) for T in times for L in layers]


def _timed(model: str, exporter: str, T: int, L: int, export: Callable[[int, int, Path], object]) -> Export:
    from rnn_export.pytorch.run import suppress_output

    with tempfile.TemporaryDirectory() as folder, suppress_output():
        out = Path(folder) / "out"
        seconds: list[float] = []
        while not seconds or (len(seconds) < _REPEATS and sum(seconds) < _LONG):
            start = time.perf_counter()
            export(T, L, out)
            seconds.append(time.perf_counter() - start)
        return Export(model, exporter, T, L, median(seconds), (out / "model.onnx").stat().st_size)
