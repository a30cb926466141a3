"""What each session setting gives for single steps; docs/internals/streaming.md quotes it. Runs for some minutes.

Every setting is changed alone, from those of `Stream`; all are interleaved in one process, and medians are printed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from rnn_export import Signature, Stream, export_onnx
from rnn_export.stream.session import step_options
from torch import Tensor, nn

LAYERS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
SIZES = {"I10 H20 L1": (10, 20, 1), "I100 H256 L4": (100, 256, 4), "I100 H1024 L2": (100, 1024, 2)}
ROUNDS, STEPS = 20, 50


class Outputs(nn.Module):
    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.rnn(x)[0]
        return output


def changed(change: Callable[[ort.SessionOptions], object]) -> ort.SessionOptions:
    options = step_options()
    change(options)
    return options


def two_threads(options: ort.SessionOptions, spinning: bool) -> None:
    options.intra_op_num_threads = 2
    if spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")


SETTINGS: dict[str, Callable[[ort.SessionOptions], object]] = {
    "those of Stream": lambda options: None,
    "memory arena on": lambda options: setattr(options, "enable_cpu_mem_arena", True),
    "memory pattern off": lambda options: setattr(options, "enable_mem_pattern", False),
    "parallel execution": lambda options: setattr(options, "execution_mode", ort.ExecutionMode.ORT_PARALLEL),
    "basic optimizations": lambda options: setattr(
        options, "graph_optimization_level", ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    ),
    "no prepacking": lambda options: options.add_session_config_entry("session.disable_prepacking", "1"),
    "2 threads": lambda options: two_threads(options, False),
    "2 threads, spinning": lambda options: two_threads(options, True),
}


def measure(steps: dict[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """p50 and p99 in microseconds."""
    times: dict[str, list[int]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            for _ in range(STEPS // 5):
                step()
            for _ in range(STEPS):
                begin = time.perf_counter_ns()
                step()
                times[name].append(time.perf_counter_ns() - begin)
    return {name: tuple(np.percentile(taken, [50, 99]) / 1e3) for name, taken in times.items()}


def eager(rnn: nn.Module, x: Tensor) -> Callable[[], object]:
    state: list[object] = [None]

    def step() -> object:
        with torch.inference_mode():
            y, state[0] = rnn(x, state[0])
            return y

    return step


def plain(path: Path, x: np.ndarray) -> Callable[[], object]:
    """`session.run` with dictionaries, one thread."""
    session = ort.InferenceSession(path, step_options())
    names = [output.name for output in session.get_outputs()]
    feeds = {i.name: np.zeros([1, 1, i.shape[2]], np.float32) for i in session.get_inputs() if i.name != "x"}

    def step() -> object:
        got = dict(zip(names, session.run(names, {"x": x, **feeds}), strict=True))
        feeds.update({name: got[f"{name.removesuffix('0')}_n"] for name in feeds})
        return got["output"]

    return step


def main() -> None:
    torch.set_num_threads(1)
    for (I, H, L), size in zip(SIZES.values(), SIZES, strict=True):  # noqa: E741  the field's name
        for cell, layer in LAYERS.items():
            torch.manual_seed(0)
            model = layer(I, H, L).eval()
            x = np.random.default_rng(0).standard_normal((1, I)).astype(np.float32)
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "out"
                signature = Signature({"x": f"float32[T, N, {I}]"}, ["output"])
                export_onnx(Outputs(model), signature, out, stateful=True, verify=False)
                streams = {name: Stream(out, options=changed(change)) for name, change in SETTINGS.items()}
                steps = {name: partial(stream.step, x) for name, stream in streams.items()}
                compared = {
                    "eager PyTorch": eager(model, torch.from_numpy(x[None])),
                    "session.run": plain(out / "model.onnx", x[None]),
                }
                print(f"\n{cell} {size}: p50 and p99 in microseconds")
                for name, (p50, p99) in measure({**compared, **steps}).items():
                    print(f"  {name:<22}{p50:>9.1f}{p99:>10.1f}", flush=True)


if __name__ == "__main__":
    main()
