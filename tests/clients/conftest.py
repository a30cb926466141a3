"""Bundles of small models, each written once, and the clients that are tested."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import SMALL
from rnn_export import Signature, export_onnx, export_torchscript, load
from rnn_export.pytorch.load import load_with
from torch import Tensor, nn

from clients.exported import write_all
from clients.programs import CLIENTS, ONNX, ROOT, WRITERS


class Classes(nn.Module):
    """Shapes: x float32[N, T, 3] to scores float32[N*T, 6] and classes int64[N, T]."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)
        self.head = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.head(self.rnn(x)[0])
        return scores.reshape(-1, 6), scores.argmax(-1)


class Learned(nn.Module):
    """Shapes: x float32[T, N, 3] to float32[T, N, 4]; the initial state is a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4)
        self.h0 = nn.Parameter(torch.randn(1, 1, 4))

    def forward(self, x: Tensor) -> Tensor:
        h0 = self.h0.expand(1, x.shape[1], 4)
        return self.rnn(x, (h0, 2 * h0))[0]


class Late(nn.Module):
    """Shapes: x float32[N, T, 3] to float32[N, T, 4], or half as many steps; reads two steps ahead."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 5, stride=stride, padding=2)
        self.rnn = nn.GRU(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rnn(self.conv(x.transpose(1, 2)).transpose(1, 2))[0]
        return y


def _layers(dtype: str, **options: object) -> tuple[nn.Module, Signature]:
    sizes = {"input_size": 3, "hidden_size": 4, **options}
    loaded = load_with(
        "torch.nn:LSTM", sizes, inputs={"x": f"{dtype}[T, N, 3]"}, outputs=["output", "h_n", "c_n"], seed=0
    )
    return loaded.model.to(getattr(torch, dtype)), loaded.signature


def _model(name: str) -> tuple[nn.Module, Signature]:
    torch.manual_seed(0)
    if name in SMALL:
        loaded = load(name, **SMALL[name], seed=3)
        return loaded.model, loaded.signature
    if name == "classes":
        return Classes(), Signature({"x": "float32[N, T, 3]"}, ["scores", "classes"])
    if name == "learned":
        return Learned(), Signature({"x": "float32[T, N, 3]"}, ["y"])
    if name in ("ahead", "strided"):
        return Late(2 if name == "strided" else 1), Signature({"x": "float32[N, T, 3]"}, ["y"])
    if name == "bidirectional":
        return _layers("float32", bidirectional=True, num_layers=2)
    return _layers(name)


@pytest.fixture(scope="session")
def of_every_kind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the bundles that `python -m clients.exported` writes: the one that BUNDLES names, or a new one."""
    given = os.environ.get("BUNDLES")
    return ROOT / given if given else write_all(tmp_path_factory.mktemp("bundles"))


Bundles = Callable[..., Path]


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    """The bundle of a model, written when first asked for; nobody may change it."""
    written: dict[tuple[str, tuple[str, ...]], Path] = {}

    def bundle(name: str, *options: str) -> Path:
        """Options are "torchscript", "stateful" and "int8"."""
        if (name, options) not in written:
            folder = tmp_path_factory.mktemp(name) / "bundle"
            model, signature = _model(name)
            if "torchscript" in options:
                export_torchscript(model, signature, folder, verify=False)
            else:
                quantize = "int8" if "int8" in options else None
                export_onnx(model, signature, folder, stateful="stateful" in options, quantize=quantize, verify=False)
            written[name, options] = folder
        return written[name, options]

    return bundle


@pytest.fixture
def copied(bundles: Bundles, tmp_path: Path) -> Bundles:
    """A bundle of one's own, to be changed."""

    def copy(name: str, *options: str) -> Path:
        return shutil.copytree(bundles(name, *options), tmp_path / "bundle")

    return copy


# Which clients a test's argument stands for: not all take every file, or look at every value.
ARGUMENTS = {
    "client": CLIENTS,
    "onnx_client": ONNX,
    "float64_client": ("onnxruntime", "libtorch"),
    "int8_client": ("onnxruntime",),
    "script_client": ("libtorch",),
    "index_client": ("onnxruntime", "libtorch"),
    "openvino_client": ("openvino",),
    "writer": WRITERS,
    "pipeline_client": WRITERS,
    "provider_client": ("onnxruntime",),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The variable CLIENTS leaves some out, or asks for the writer in Node."""
    chosen = os.environ.get("CLIENTS", " ".join(CLIENTS)).split()
    for argument in ARGUMENTS.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(argument, [name for name in ARGUMENTS[argument] if name in chosen])
