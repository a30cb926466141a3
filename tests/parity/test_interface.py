"""A model file says the same as its manifest: names, order, dtypes, dimensions and metadata."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from conftest import SMALL
from onnx import TensorProto, helper
from planting import plant, renew_hash, write_bundle
from rnn_export import BundleError, InterfaceError, Stream, export_torchscript, load, verify
from rnn_export.pytorch.run import suppress_output
from torch import Tensor, nn

Edit = Callable[[onnx.ModelProto], None]


def entry(model: onnx.ModelProto, key: str) -> onnx.StringStringEntryProto:
    return next(each for each in model.metadata_props if each.key == f"rnn_export.{key}")


def set_entry(key: str, value: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        entry(model, key).value = value

    return edit


def exchange_states(model: onnx.ModelProto) -> None:
    """h and c have each other's reset values and outputs."""
    states = json.loads(entry(model, "states").value)
    h, c = list(states)[:2]
    states[h]["output"], states[c]["output"] = states[c]["output"], states[h]["output"]
    entry(model, "states").value = json.dumps(states)


def reset_of(value: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        next(each for each in model.metadata_props if each.key.startswith("rnn_export.reset")).value = value

    return edit


def drop(key: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        model.metadata_props.remove(entry(model, key))

    return edit


def one_more(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="rnn_export.extra", value="1")


def twice(model: onnx.ModelProto) -> None:
    model.metadata_props.insert(0, onnx.StringStringEntryProto(key="rnn_export.time", value="N"))


def reorder(values: str, seed: int) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        found = getattr(model.graph, values)
        before = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in found]
        after = list(before)
        draw = random.Random(seed)
        while [each.name for each in after] == [each.name for each in before]:
            draw.shuffle(after)
        del found[:]
        found.extend(after)

    return edit


def another_output(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", [model.graph.input[0].name], ["extra"]))
    model.graph.output.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, None))


def another_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [1]))


def weight_as_input(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[0]
    model.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))


def input_dim(k: int, value: str | int | None) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        dim = model.graph.input[0].type.tensor_type.shape.dim[k]
        dim.Clear()
        if isinstance(value, str):
            dim.dim_param = value
        elif value is not None:
            dim.dim_value = value

    return edit


def output_dim(value: str | int) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        dim = model.graph.output[0].type.tensor_type.shape.dim[0]
        dim.Clear()
        if isinstance(value, str):
            dim.dim_param = value
        else:
            dim.dim_value = value

    return edit


def another_opset(model: onnx.ModelProto) -> None:
    next(each for each in model.opset_import if each.domain == "").version = 17


EDITS: dict[str, Edit] = {
    "reset value": reset_of("0.5"),
    "reset value left out": drop("reset.rnn.0.h0"),
    "time axis": set_entry("time", "N"),
    "no time axis": drop("time"),
    "h and c exchanged": exchange_states,
    "states in another order": set_entry("state_inputs", "rnn.0.c0,rnn.0.h0,rnn.1.h0,rnn.1.c0"),
    "outputs of states": set_entry("state_outputs", "rnn.0.c_n,rnn.0.h_n,rnn.1.h_n,rnn.1.c_n"),
    "inputs": set_entry("inputs", '{"x": "float32[N, T, 3]"}'),
    "outputs": set_entry("outputs", '["y"]'),
    "no states": set_entry("states", "{}"),
    "one more entry": one_more,
    "an entry twice": twice,
    "inputs reordered": reorder("input", 0),
    "inputs reordered otherwise": reorder("input", 7),
    "outputs reordered": reorder("output", 0),
    "one more output": another_output,
    "one more input": another_input,
    "an input with an initializer": weight_as_input,
    "a dimension renamed": input_dim(0, "S"),
    "a dimension fixed": input_dim(0, 7),
    "a dimension without a name": input_dim(1, None),
    "a width": input_dim(2, 4),
    "an output's dimension fixed": output_dim(5),
    "an output's dimension renamed": output_dim("S"),
    "opset": another_opset,
}


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stream") / "b"
    return write_bundle(folder, "tagger", settings={"cell": "lstm", "bidirectional": False}, stateful=True)


@pytest.mark.parametrize("name", EDITS)
def test_a_file_that_says_something_else_is_not_verified(name: str, stream: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(stream, tmp_path / "b"))
    plant(bundle, EDITS[name])
    with pytest.raises(InterfaceError, match="model.onnx is not what its manifest says: its"):
        verify(bundle)


@pytest.mark.parametrize("name", ["reset value", "time axis", "h and c exchanged", "one more output"])
def test_a_stream_is_not_begun_with_another_files_states(name: str, stream: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(stream, tmp_path / "b"))
    assert Stream(bundle).states
    plant(bundle, EDITS[name])
    with pytest.raises(InterfaceError, match="model.onnx is not what its manifest says: its"):
        Stream(bundle)


def test_an_archive_with_its_inputs_in_another_order_is_not_verified(tmp_path: Path) -> None:
    class Other(nn.Module):
        def forward(self, h0: Tensor, x: Tensor) -> Tensor:
            return x + h0.sum()

    loaded = load("initial_state", **SMALL["initial_state"], cell="gru")
    export_torchscript(loaded.model, loaded.signature, tmp_path / "b", source=loaded.source, verify=False)
    for model in (Other(), nn.Identity()):
        with suppress_output():
            torch.jit.save(torch.jit.script(model.eval()), tmp_path / "b" / "model.pt")
        renew_hash(tmp_path / "b", "model.pt")
        with pytest.raises(InterfaceError, match="its inputs are .*, not x, h0"):
            verify(tmp_path / "b")


def outside(location: str, **entries: int) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        tensor = next(each for each in model.graph.initializer if each.raw_data)
        data = {"location": location, "length": len(tensor.raw_data), **entries}
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in data.items():
            tensor.external_data.add(key=key, value=str(value))

    return edit


def plant_unread(bundle: Path, edit: Edit) -> None:
    """Save without the files beside it, which `onnx.save` would look for."""
    model = onnx.load(bundle / "model.onnx")
    edit(model)
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    renew_hash(bundle, "model.onnx")


@pytest.mark.parametrize(
    ("location", "entries"),
    [
        ("hidden.bin", {}),
        ("../hidden.bin", {}),
        ("/etc/passwd", {}),
        ("weights.safetensors", {}),
        ("model.onnx", {}),
        ("./model.onnx.data", {}),
        ("model.onnx.data", {"offset": 100_000}),
        ("model.onnx.data", {"offset": -8}),
        ("model.onnx.data", {"length": 4}),
        ("model.onnx.data", {}),
    ],
)
def test_weights_elsewhere_than_in_a_file_that_is_listed_are_not_read(
    location: str, entries: dict[str, int], tmp_path: Path
) -> None:
    bundle = write_bundle(tmp_path / "b", "single")
    (bundle / "hidden.bin").write_bytes(bytes(4_000))
    (bundle / "model.onnx.data").write_bytes(bytes(4_000))
    plant_unread(bundle, outside(location, **entries))
    with pytest.raises(BundleError, match="beside it|does not hold the weight|does not list it"):
        verify(bundle)


@pytest.mark.parametrize(
    ("domain", "operator"),
    [
        ("custom.domain", "Run"),
        ("ai.onnx.contrib", "PyOp"),
        ("com.microsoft", "EPContext"),
        ("org.pytorch.aten", "ATen"),
    ],
)
def test_operators_that_are_not_known_to_compute_are_not_run(domain: str, operator: str, tmp_path: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node(operator, [model.graph.input[0].name], ["extra"], domain=domain))
        model.opset_import.add(domain=domain, version=1)

    bundle = write_bundle(tmp_path / "b", "single")
    plant(bundle, edit)
    with pytest.raises(BundleError, match=f"has the operator {domain}.{operator}, which is not known to compute alone"):
        verify(bundle)


def test_operators_of_the_files_own_are_not_run(tmp_path: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        node = helper.make_node("Identity", ["x"], ["y"])
        model.functions.append(helper.make_function("", "Sigmoid", ["x"], ["y"], [node], model.opset_import))

    bundle = write_bundle(tmp_path / "b", "single")
    plant(bundle, edit)
    with pytest.raises(BundleError, match="defines operators of its own"):
        verify(bundle)
