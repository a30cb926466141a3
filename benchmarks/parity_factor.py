"""How far correct exports come to their limit: random recurrent layers, in units of the limit at FACTOR = 1.

Run as `make calibrate`, or with a number of layers and a first seed: `python benchmarks/parity_factor.py 300 0`. It
prints the largest ratios per kind of values; docs/parity.md quotes them.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import rnn_export
import torch
from rnn_export.parity import check, expect, make_cases, traced_sizes
from rnn_export.parity.compare import FACTOR
from rnn_export.runtimes import open_session
from torch import nn

SIZES = (1, 2, 3, 5, 8, 16, 64, 128)


def random_layer(seed: int) -> tuple[nn.Module, rnn_export.Signature]:
    """A layer of random kind, sizes, depth, direction and bias."""
    torch.manual_seed(seed)
    chosen = random.Random(seed)
    kind = chosen.choice(["tanh", "relu", "gru", "lstm"])
    input_size, hidden_size, layers = chosen.choice(SIZES), chosen.choice(SIZES), chosen.choice((1, 2, 3))
    options = {"bidirectional": chosen.random() < 0.5, "bias": chosen.random() < 0.5}
    if kind in ("tanh", "relu"):
        layer: nn.Module = nn.RNN(input_size, hidden_size, layers, nonlinearity=kind, **options)
    else:
        layer = {"gru": nn.GRU, "lstm": nn.LSTM}[kind](input_size, hidden_size, layers, **options)
    return layer, rnn_export.Signature({"x": f"float32[T, N, {input_size}]"})


def ratios(seed: int) -> Iterator[tuple[str, float]]:
    """The kind of values, and error over limit at FACTOR = 1, of every output of every case of one layer."""
    model, signature = random_layer(seed)
    with tempfile.TemporaryDirectory() as folder:
        exported = rnn_export.export_onnx(model, signature, Path(folder) / "out", verify=False)
        signature = rnn_export.read_bundle(exported.folder).signature
        session = open_session("onnxruntime:cpu", exported.folder / "model.onnx", signature.outputs)
        traced = traced_sizes(signature)
        expected = expect(model.eval(), signature, make_cases(signature, traced, seed))
        report = check(session, expected, artifact="model.onnx", runtime="onnxruntime:cpu", traced=traced, seed=seed)
    for result in report.cases:
        for output in result.outputs:
            yield result.case.values, FACTOR * output.error / output.limit


def main() -> None:
    torch.set_num_threads(1)
    count, first = (int(argument) for argument in (sys.argv[1:] + ["300", "0"][len(sys.argv) - 1 :]))
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(first, first + count):
        for values, ratio in ratios(seed):
            found[values].append(ratio)
    print(f"{count} random layers, seeds {first} to {first + count - 1}; FACTOR is {FACTOR:g}")
    for values, measured in found.items():
        measured.sort()
        middle, high = measured[len(measured) // 2], measured[int(len(measured) * 0.999)]
        figures = f"median {middle:.2f}, 99.9% {high:.2f}, largest {measured[-1]:.2f}"
        print(f"{values:<11} {len(measured):>6} outputs: {figures}")


if __name__ == "__main__":
    main()
