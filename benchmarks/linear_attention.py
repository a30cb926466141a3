"""Times loops of linear attention in each form, beside eager PyTorch; docs/internals/lowering.md quotes it.

Run as `python -m benchmarks.linear_attention`, some minutes on one thread. All forms of a row take turns in one
process; medians in milliseconds. "stock" is `torch.onnx.export`, which writes the steps of one length into the file.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from rnn_export import export_onnx
from torch import Tensor, nn
from torch.nn import functional

ROUNDS = 15
SECONDS = 0.1
LENGTHS = (256, 1)
HEADS, SIZE = 8, 64
FORMS: Mapping[str, Mapping[str, Any]] = {
    "contrib": {"lowering": "contrib"},
    "standard": {"lowering": "standard", "opset": 27},
    "scan": {"lowering": "scan"},
}


class Attention(nn.Module):
    """S' = a S + k v, y = q S'; with `delta` a k S is taken from v first. q, k and v are given."""

    def __init__(self, *, decay: bool, delta: bool) -> None:
        super().__init__()
        self.decay, self.delta = decay, delta

    def forward(self, q: Tensor, k: Tensor, v: Tensor, gate: Tensor, rate: Tensor) -> Tensor:
        k = functional.normalize(k, dim=-1) if self.delta else k
        state = q.new_zeros(q.shape[0], HEADS, SIZE, SIZE)
        outputs = []
        for t in range(q.shape[1]):
            if self.decay:
                state = state * torch.sigmoid(gate[:, t])[..., None, None]
            new = v[:, t]
            if self.delta:
                new = torch.sigmoid(rate[:, t])[..., None] * (new - torch.einsum("nhi,nhij->nhj", k[:, t], state))
            state = state + k[:, t].unsqueeze(-1) * new.unsqueeze(-2)
            outputs.append(torch.einsum("nhi,nhij->nhj", q[:, t], state))
        return torch.stack(outputs, 1)


MODELS = {
    "linear attention": Attention(decay=False, delta=False),
    "gated": Attention(decay=True, delta=False),
    "delta": Attention(decay=False, delta=True),
    "gated delta": Attention(decay=True, delta=True),
}


def inputs(steps: int) -> dict[str, Tensor]:
    torch.manual_seed(0)
    wide, narrow = (1, steps, HEADS, SIZE), (1, steps, HEADS)
    return {
        **{name: torch.randn(wide) / 8 for name in ("q", "k", "v")},
        **{name: torch.randn(narrow) for name in ("gate", "rate")},
    }


def session(file: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def stock(model: nn.Module, given: Mapping[str, Tensor], file: Path) -> ort.InferenceSession:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, tuple(given.values()), file, dynamo=True, verbose=False, input_names=list(given))
    return session(file)


def medians(runs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Milliseconds of one run of each, in turn."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begin, count = time.perf_counter(), 0
            while time.perf_counter() - begin < SECONDS:
                run()
                count += 1
            taken[name].append(1e3 * (time.perf_counter() - begin) / count)
    return {name: median(each) for name, each in taken.items()}


def run_all(name: str, model: nn.Module, folder: Path) -> None:
    sizes = {"q": f"float32[N, T, {HEADS}, {SIZE}]", "gate": f"float32[N, T, {HEADS}]"}
    signature = {**dict.fromkeys("qkv", sizes["q"]), "gate": sizes["gate"], "rate": sizes["gate"]}
    files = {
        form: export_onnx(model, signature, folder / name / form, verify=False, accept=["unverified"], **options).model
        for form, options in FORMS.items()
    }
    for steps in LENGTHS:
        given = inputs(steps)
        arrays: dict[str, np.ndarray[Any, Any]] = {key: value.numpy() for key, value in given.items()}
        runs: dict[str, Callable[[], object]] = {"eager": partial(model, *given.values())}
        for form, file in files.items():
            runs[form] = partial(session(file).run, None, arrays)
        runs["stock"] = partial(stock(model, given, folder / f"{name}.{steps}.onnx").run, None, arrays)
        with torch.inference_mode():
            times = medians(runs)
        print(f"| {name} | {steps} |", " | ".join(f"{times[key]:.3f}" for key in runs), "|", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    print("| loop | T | eager |", " | ".join(FORMS), "| stock |")
    with tempfile.TemporaryDirectory() as folder:
        for name, model in MODELS.items():
            run_all(name, model.eval(), Path(folder))


if __name__ == "__main__":
    main()
