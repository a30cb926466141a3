"""What an export costs, as whole processes: seconds beside the deprecated exporter's, and memory beside the weights."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from .apart import apart, peak_memory
from .records import Peak, Processes

_STOCK = """
import torch
from rnn_export.models.hetero import HeteroRNN
torch.onnx.export(HeteroRNN().eval(), (torch.randn(7, 5, 100),), "stock.onnx", dynamo=False, input_names=["x"],
                  output_names=["logits"], dynamic_axes={"x": {0: "T", 1: "N"}})
"""
_OURS = ("-m", "rnn_export", "onnx", "--model", "hetero", "--out", "bundle", "--quiet")
COMMANDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "import torch": ("-c", "import torch"),
        "torch.onnx.export(dynamo=False)": ("-W", "ignore", "-c", _STOCK),
        "rnn-export onnx --model hetero --no-verify": (*_OURS, "--no-verify"),
        "rnn-export onnx --model hetero": _OURS,
    }
)
STOCK, OURS, VERIFIED = list(COMMANDS)[1:]
# An LSTM as wide as this has 210 MB of weights.
_WIDE = 2560


def processes(rounds: int, progress: Callable[[str], None]) -> list[Processes]:
    """Each command once per round."""
    found: dict[str, list[float]] = {command: [] for command in COMMANDS}
    for number in range(rounds):
        for command, arguments in COMMANDS.items():
            found[command].append(_seconds(arguments))
        progress(f"export, round {number + 1} of {rounds}")
    return [Processes(command, tuple(seconds)) for command, seconds in found.items()]


def peaks(width: int = _WIDE) -> list[Peak]:
    """Of a process that imports torch, and of exports of a wide LSTM."""
    own, _ = apart(_peak_of_import)
    found = [Peak("import torch", own, 0.0)]
    for what, export in (
        ("torch.onnx.export(dynamo=False)", _peak_of_stock),
        ("export_onnx(verify=False)", _peak_of_ours),
    ):
        peak, weights = apart(export, width)
        found.append(Peak(what, peak, (peak - own) / weights))
    return found


def _seconds(arguments: tuple[str, ...]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, *arguments], check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


def _peak_of_import() -> tuple[int, int]:
    import torch

    return peak_memory(), torch.get_num_threads()


def _peak_of_stock(width: int) -> tuple[int, int]:
    import torch

    model = torch.nn.LSTM(width, width).eval()
    with tempfile.TemporaryDirectory() as folder:
        torch.onnx.export(
            model,
            (torch.randn(7, 5, width),),
            Path(folder) / "stock.onnx",
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "T", 1: "N"}},
        )
    return peak_memory(), _bytes(model)


def _peak_of_ours(width: int) -> tuple[int, int]:
    import torch
    from rnn_export import Signature, export_onnx

    model = torch.nn.LSTM(width, width).eval()
    with tempfile.TemporaryDirectory() as folder:
        signature = Signature({"x": f"float32[T, N, {width}]"})
        export_onnx(model, signature, Path(folder) / "bundle", verify=False)
    return peak_memory(), _bytes(model)


def _bytes(model: object) -> int:
    from torch import nn

    assert isinstance(model, nn.Module)
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
