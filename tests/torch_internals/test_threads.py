"""Exports in two threads do not see each other: each writes what it writes alone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import onnx_ir as ir
import torch
from rnn_export import Signature, export_onnx, load
from rnn_export.capture.capture import capture
from rnn_export.lowering.translate import translate
from rnn_export.torch_internals.capture import SHAPE_LOGGER, FakeTensor
from rnn_export.torch_internals.onnx import ONNXRegistry, TracedOnnxFunction
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

ROUNDS = 2


class Loop(nn.Module):
    """A Python loop in float64, which PyTorch logs about and whose numbers need translations of their own."""

    SIGNATURE = Signature({"x": "float64[T, N, 3]"})
    EXAMPLE: Mapping[str, Tensor] = {"x": torch.ones(7, 5, 3, dtype=torch.float64)}

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.norm = nn.GRUCell(3, 4), nn.LayerNorm(4)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        print("a loop")
        h = x.new_zeros(x.size(1), 4)
        for t in range(x.size(0)):
            h = self.norm(self.cell(x[t], h)) * 0.1
        return h


class Packed(nn.Module):
    """Lengths as a list in float32, where LayerNorm is whole."""

    SIGNATURE = Signature({"x": "float32[T, N, 3]", "lengths": "int64[N] in 1..T"})
    EXAMPLE: Mapping[str, Tensor] = {"x": torch.ones(7, 5, 3), "lengths": torch.tensor([7, 3, 5, 1, 2])}

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.norm = nn.LSTM(3, 4), nn.LayerNorm(4)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        print("a packed sequence")
        packed = pack_padded_sequence(x, torch.tensor(lengths.tolist()), enforce_sorted=False)
        return self.norm(pad_packed_sequence(self.rnn(packed)[0])[0]) * 0.1


def models() -> list[Any]:
    torch.manual_seed(0)
    return [Loop().eval(), Packed().eval()]


def translated(model: Any) -> bytes:
    graph = translate(capture(model, model.SIGNATURE, model.EXAMPLE), model.SIGNATURE)
    return bytes(ir.to_proto(graph).SerializeToString(deterministic=True))


def together(work: Callable[[Any], Any], given: list[Any]) -> list[Any]:
    """The results of threads that begin at one moment."""
    barrier = Barrier(len(given))

    def begin(item: Any) -> Any:
        barrier.wait(60)
        return work(item)

    with ThreadPoolExecutor(len(given)) as pool:
        return list(pool.map(begin, given))


@contextmanager
def nothing_left() -> Iterator[None]:
    before = whatever_is_global()
    yield
    assert whatever_is_global() == before


def whatever_is_global() -> list[Any]:
    logger = logging.getLogger(SHAPE_LOGGER)
    return [
        sys.stdout,
        sys.stderr,
        [*sys.path],
        (logger.level, logger.propagate, [*logger.handlers], logging.getLogger("torch.export").level),
        vars(FakeTensor)["tolist"],
        vars(ONNXRegistry)["from_torchlib"],
        vars(TracedOnnxFunction)["function_ir"],
        torch.get_default_dtype(),
    ]


def test_two_captures_and_translations() -> None:
    alone = [translated(model) for model in models()]
    with nothing_left():
        for _ in range(ROUNDS):
            assert together(translated, models()) == alone


SLOW = """
import time
from torch import nn

class Slow(nn.Sequential):
    def __init__(self):
        first = nn.Linear(3, 4)
        print("the first layer")
        time.sleep(0.05)
        super().__init__(first, nn.Linear(4, 4))
"""


def test_models_that_are_built_with_seeds_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)

    def weights(seed: int) -> list[list[float]]:
        model = load(f"{tmp_path / 'slow.py'}:Slow", inputs={"x": "float32[N, 3]"}, seed=seed).model
        return [parameter.flatten().tolist() for parameter in model.parameters()]

    alone = [weights(seed) for seed in range(4)]
    with nothing_left():
        assert together(weights, [0, 1, 2, 3]) == alone


def test_two_exports_that_are_verified(tmp_path: Path) -> None:
    def export(model: Any, folder: Path) -> bytes:
        report = export_onnx(model, model.SIGNATURE, folder).report
        assert report is not None
        assert report.passed
        return (folder / "model.onnx").read_bytes()

    alone = [export(model, tmp_path / f"alone{i}") for i, model in enumerate(models())]
    with nothing_left():
        numbered = list(enumerate(models()))
        assert together(lambda item: export(item[1], tmp_path / f"together{item[0]}"), numbered) == alone
