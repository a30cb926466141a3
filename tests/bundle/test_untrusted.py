"""A bundle is data: nothing that a manifest names is run, and no number in it fills the memory or ends the process."""

from __future__ import annotations

import json
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from conftest import SMALL
from planting import renew_hash, write_bundle
from rnn_export import BundleError, InputError, InterfaceError, RnnExportError, Signature, export_onnx, verify
from rnn_export.bundle.manifest import CASES, MANIFEST, _digest, read_manifest
from rnn_export.pytorch.load import may_be_named
from rnn_export.torch_internals.allocation import Bounded, TooLargeError
from torch import nn

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("written") / "b", "classifier", settings={"cell": "gru"})


@pytest.fixture
def bundle(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "b"))


def edit(bundle: Path, change: Edit) -> None:
    """Change the manifest, and its hash with it."""
    data = json.loads((bundle / MANIFEST).read_text())
    data.pop("sha256")
    change(data)
    (bundle / MANIFEST).write_text(json.dumps({**data, "sha256": _digest(data)}))


@pytest.mark.parametrize(
    "model",
    [
        "venv.__main__:main",
        "this:s",
        "antigravity:x",
        "idlelib.idle:x",
        "torch.nn:Module",
        "torch.nn:Sequential",
        "torch.nn.modules:GRU",
        "torch.nn.functional:gru",
        "torchvision.models:ResNet",
        "rnn_export.models:GRU",
        "torch.nn:GRU.__init__",
        "torch:nn:GRU",
        ":GRU",
        "GRU",
        "",
    ],
)
def test_nothing_is_imported_that_a_manifest_names(model: str, bundle: Path) -> None:
    assert not may_be_named(model)
    edit(bundle, lambda data: data["source"].update(model=model))
    before = set(sys.modules)
    verification = verify(bundle)
    assert verification.how == "replayed"
    assert f"building {model} would run its code" in verification.why
    assert model.rpartition(":")[0] not in set(sys.modules) - before


def test_recurrent_layers_of_pytorch_and_variants_are_built() -> None:
    names = ("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell")
    assert all(may_be_named(f"{place}:{name}") for place in ("torch.nn", "torch.nn.modules.rnn") for name in names)
    assert all(map(may_be_named, SMALL))


@pytest.mark.parametrize(
    "arguments",
    [
        {"hidden_size": 10**9},
        {"hidden_size": 60_000},
        {"num_layers": 10**9},
        {"input_size": 10**12},
        {"hidden_size": 10**30},
        {"hidden_size": -1},
        {"hidden_size": "4"},
        {"nothing": 1},
    ],
)
def test_arguments_do_not_fill_the_memory(arguments: dict[str, Any], bundle: Path) -> None:
    edit(bundle, lambda data: data["source"]["arguments"].update(arguments))
    with pytest.raises(RnnExportError) as error:
        verify(bundle)
    assert error.value.exit_code == 2


def test_a_seed_that_pytorch_does_not_take_is_said(bundle: Path) -> None:
    edit(bundle, lambda data: data["source"].update(seed=10**30))
    with pytest.raises(InputError, match="Building classifier raised"):
        verify(bundle)


def test_only_new_tensors_count() -> None:
    with Bounded(20_000):
        x = torch.zeros(100)
        for _ in range(100):
            x.view(10, 10).expand(10, 10)
    with pytest.raises(TooLargeError), Bounded(20_000):
        torch.empty(10_000)
    with pytest.raises(TooLargeError), Bounded(10_000):
        nn.GRU(100, 100)


@pytest.mark.parametrize("dims", [["T", "N", 2**31 - 1], [2**31 - 1, 2**31 - 1, 3], [1_000_000, "N", 1_000_000]])
def test_inputs_of_a_manifest_do_not_fill_the_memory(dims: list[Any], bundle: Path) -> None:
    edit(bundle, lambda data: data["inputs"]["x"].update(shape=dims))
    with pytest.raises((BundleError, InterfaceError)):
        verify(bundle)


@pytest.mark.parametrize("bounds", [{"T": {"min": 10**12}}, {"T": {"max": 10**12}}, {"T": {"min": 1, "max": 10**30}}])
def test_bounds_do_not_fill_the_memory(bounds: dict[str, Any], bundle: Path) -> None:
    edit(bundle, lambda data: data["artifacts"]["model.onnx"].update(bounds=bounds))
    assert verify(bundle, seed=0).passed


def test_bounds_of_what_the_model_does_not_have_are_refused(bundle: Path) -> None:
    edit(bundle, lambda data: data["artifacts"]["model.onnx"].update(bounds={"Q": {"max": 3}}))
    with pytest.raises(InterfaceError, match="The manifest bounds Q, which model.onnx does not have"):
        verify(bundle)


@pytest.mark.parametrize("sizes", [{"T": 10**12, "N": 5}, {"T": 7}, {}, {"T": 7, "N": 5, "Q": 1}, {"T": 5, "N": 7}])
def test_sizes_of_a_case_are_those_of_its_inputs(sizes: dict[str, int], bundle: Path) -> None:
    edit(bundle, lambda data: (data["cases"][0].update(sizes=sizes), data["source"].update(model="other")))
    with pytest.raises(BundleError, match="does not hold the cases"):
        verify(bundle)


def test_cases_of_other_shapes_are_no_cases(bundle: Path) -> None:
    edit(bundle, lambda data: data["source"].update(model="other"))
    tensors = safetensors.numpy.load_file(bundle / CASES)
    for key in [key for key in tensors if "/reference/" in key][:1]:
        tensors[key] = np.zeros((1, 2, 3))
    safetensors.numpy.save_file(tensors, bundle / CASES)
    renew_hash(bundle, CASES)
    with pytest.raises(BundleError, match="does not hold the cases"):
        verify(bundle)


@pytest.mark.parametrize("header", [2**63, 2**40, 10**9, 0, 8])
def test_a_header_of_any_size_is_an_error(header: int, bundle: Path) -> None:
    for name in (CASES, "weights.safetensors"):
        (bundle / name).write_bytes(struct.pack("<Q", header) + b"{}      ")
        renew_hash(bundle, name)
    with pytest.raises(RnnExportError) as error:
        verify(bundle)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("nested", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_depth_is_an_error(nested: str, bundle: Path) -> None:
    (bundle / MANIFEST).write_text(nested)
    with pytest.raises(BundleError, match="is not a manifest"):
        verify(bundle)
    (bundle / MANIFEST).write_text(f'{{"format": 2, "sha256": "0", "versions": {nested}}}')
    with pytest.raises(BundleError, match="is not a manifest"):
        verify(bundle)


def test_a_key_that_is_there_twice_is_refused(bundle: Path) -> None:
    text = (bundle / MANIFEST).read_text()
    (bundle / MANIFEST).write_text(text.replace('"states":', '"states": {"h0": "logits"}, "states":', 1))
    with pytest.raises(BundleError, match="a key is there twice"):
        verify(bundle)


@pytest.mark.parametrize("text", ["\x1b[2K", "a\x7f", "\x9b2J", "\ud800"])
def test_text_that_steers_a_terminal_is_refused(text: str, bundle: Path) -> None:
    edit(bundle, lambda data: data.update(name=text))
    with pytest.raises(BundleError, match="is not a manifest"):
        verify(bundle)


@pytest.mark.parametrize("bound", [4, 1.5, float("inf"), float("nan"), 0, -1])
def test_a_bound_beyond_what_outputs_are_is_refused(bound: float, bundle: Path) -> None:
    precision = {"weights": "int8", "bound": bound, "error": None}
    edit(bundle, lambda data: data["artifacts"]["model.onnx"].update(precision=precision))
    with pytest.raises(BundleError, match="is not a manifest"):
        verify(bundle)


@pytest.mark.parametrize("bound", [0.01, 0.5, 1.0])
def test_a_bound_counts_for_int8_weights_alone(bound: float, bundle: Path) -> None:
    precision = {"weights": "int8", "bound": bound, "error": None}
    edit(bundle, lambda data: data["artifacts"]["model.onnx"].update(precision=precision))
    with pytest.raises(InterfaceError, match="it has no int8 weights, which alone may be off"):
        verify(bundle)


def test_half_of_an_output_counts_and_no_more(tmp_path: Path) -> None:
    signature = Signature({"x": "float32[T, N, 20]"})
    with pytest.raises(InputError, match="A largest error of 4 is more than the outputs themselves"):
        export_onnx(nn.GRU(20, 8), signature, tmp_path / "b", quantize="int8", max_error=4)
    exported = export_onnx(nn.GRU(20, 8), signature, tmp_path / "b", quantize="int8", max_error=1, verify=False)
    assert read_manifest(exported.folder).artifacts["model.onnx"].bound == 0.5


def test_what_a_replay_does_not_show_is_said(bundle: Path) -> None:
    assert verify(bundle, seed=1).caveat == ""
    edit(bundle, lambda data: data["source"].update(model="other"))
    assert "is then the bundle's own word" in verify(bundle).to_json()["caveat"]
