"""How far arithmetic on an NVIDIA GPU is from float64: PyTorch's and ONNX Runtime's, in float32, TF32 and float16.

Run as `make cuda-forms`, on random layers. Errors are in units of eps times the largest
magnitude of an output, eps being that of the arithmetic (of TensorFloat-32 2^-10); parity.md has the quantiles.
"""

from __future__ import annotations

import copy
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rnn_export import Signature, export_onnx
from rnn_export.runtimes.open import open_session
from rnn_export.runtimes.session import ProviderOptions
from torch import nn

WIDTHS = (1, 2, 3, 5, 8, 16, 64, 128)
EPS = {"float32": 2.0**-23, "TF32": 2.0**-10, "float16": 2.0**-10}
SIZES = ((7, 5), (1, 1), (64, 32), (257, 2))


def main() -> None:
    count = int((sys.argv[1:] or ["150"])[0])
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for seed in range(count):
        for arithmetic in EPS:
            for who, error in errors(seed, arithmetic):
                found[arithmetic, who].append(error)
    print(f"{'arithmetic':12}{'computed by':22}{'outputs':>9}{'median':>9}{'99%':>9}{'largest':>9}")
    for (arithmetic, who), every in found.items():
        median, most, largest = np.quantile(every, [0.5, 0.99, 1])
        print(f"{arithmetic:12}{who:22}{len(every):9}{median:9.2f}{most:9.2f}{largest:9.2f}")


def errors(seed: int, arithmetic: str) -> Iterator[tuple[str, float]]:
    """Who computed, and the error, for each output at each size."""
    layer, width = random_layer(seed)
    dtype = torch.float16 if arithmetic == "float16" else torch.float32
    allow_tf32(arithmetic == "TF32")
    model = layer.to(dtype).eval()
    short = str(dtype).removeprefix("torch.")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        export_onnx(model, Signature({"x": f"{short}[T, N, {width}]"}), out, target="cuda", verify=False)
        provider_options = ProviderOptions({"use_tf32": str(int(arithmetic == "TF32"))})
        session = open_session("onnxruntime:cuda", out / "model.onnx", (), provider_options)
        for T, N in SIZES:
            x = torch.randn(T, N, width, generator=torch.Generator().manual_seed(seed)).to(dtype)
            exact = outputs(copy.deepcopy(model).double(), x.double(), "cpu")
            scales = [float(np.abs(array).max()) * EPS[arithmetic] for array in exact]
            got = {
                "PyTorch, CPU": outputs(copy.deepcopy(model), x, "cpu"),
                "PyTorch, GPU": outputs(copy.deepcopy(model), x, "cuda"),
                "ONNX Runtime, CUDA": list(session.run({"x": x.numpy()}).values()),
            }
            for who, arrays in got.items():
                for array, reference, scale in zip(arrays, exact, scales, strict=True):
                    yield who, float(np.abs(array.astype(np.float64) - reference).max()) / scale


def random_layer(seed: int) -> tuple[nn.RNNBase, int]:
    """A layer of random kind, sizes, depth, direction and bias, and its input size."""
    torch.manual_seed(seed)
    chosen = random.Random(seed)
    kind = chosen.choice(["tanh", "relu", "gru", "lstm"])
    sizes = chosen.choice(WIDTHS), chosen.choice(WIDTHS), chosen.choice((1, 2, 3))
    options: dict[str, bool] = {"bidirectional": chosen.random() < 0.5, "bias": chosen.random() < 0.5}
    if kind in ("tanh", "relu"):
        return nn.RNN(*sizes, nonlinearity=kind, **options), sizes[0]
    return {"gru": nn.GRU, "lstm": nn.LSTM}[kind](*sizes, **options), sizes[0]


def allow_tf32(allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed


def outputs(model: nn.Module, x: torch.Tensor, device: str) -> list[np.ndarray]:
    with torch.no_grad():
        output, states = model.to(device)(x.to(device))
    return [tensor.cpu().numpy() for tensor in (output, *([states] if isinstance(states, torch.Tensor) else states))]


if __name__ == "__main__":
    main()
