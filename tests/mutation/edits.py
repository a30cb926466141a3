"""Edits of a finished bundle that keep its hashes right: what `verify` has to find, or why it need not."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.numpy
import torch
from onnx import TensorProto, helper, numpy_helper
from planting import renew_hash
from rnn_export import RnnExportError, export_onnx, export_torchscript, load, verify
from rnn_export.bundle.manifest import CASES, MANIFEST, WEIGHTS, _digest
from rnn_export.pytorch.run import suppress_output
from torch import Tensor, nn

Change = Callable[[Path], None]
_SIZES: Mapping[str, Any] = {"input_size": 3, "hidden_size": 4, "num_layers": 2, "cell": "lstm"}

# An edit of what only people or other programs read is no answer to whether the file is right.
TOLD = "for people: nothing is computed or judged with it"
REPLAYED = "verify then replays, and says that the answers are the bundle's own word"


@dataclass(frozen=True)
class Edit:
    """An edit of one of the bundles; `harmless` says why it need not be found."""

    name: str
    bundle: str
    change: Change
    harmless: str = ""


def write_bundles(folder: Path) -> dict[str, Path]:
    """A stream, a model with an initial state, the same with int8 weights, and a TorchScript archive."""
    stream = load("tagger", **_SIZES, seed=3)
    plain = load("initial_state", **_SIZES, seed=3)
    wide = load("initial_state", **{**_SIZES, "hidden_size": 16}, seed=3)
    export_onnx(stream.model, stream.signature, folder / "stream", source=stream.source, stateful=True, verify=False)
    export_onnx(plain.model, plain.signature, folder / "plain", source=plain.source, verify=False)
    export_onnx(wide.model, wide.signature, folder / "int8", source=wide.source, quantize="int8", verify=False)
    export_torchscript(plain.model, plain.signature, folder / "script", source=plain.source, verify=False)
    return {name: folder / name for name in ("stream", "plain", "int8", "script")}


def judge_edit(edit: Edit, bundle: Path) -> str:
    """What `verify` makes of an edited bundle: the error or the failure that it was found by, empty if it was not."""
    edit.change(bundle)
    try:
        verification = verify(bundle, seed=5)
    except RnnExportError as error:
        return str(error)
    return next((report.failure for report in verification.reports if not report.passed), "")


EDITS: list[Edit] = []


def _add(name: str, bundle: str, change: Change, harmless: str = "") -> None:
    EDITS.append(Edit(name, bundle, change, harmless))


def _manifest(change: Callable[[dict[str, Any]], object]) -> Change:
    def apply(folder: Path) -> None:
        data = json.loads((folder / MANIFEST).read_text())
        data.pop("sha256")
        before = json.dumps(data)
        change(data)
        assert json.dumps(data) != before, "changes nothing"
        (folder / MANIFEST).write_text(json.dumps({**data, "sha256": _digest(data)}))

    return apply


def _artifact(change: Callable[[dict[str, Any]], object]) -> Change:
    return _manifest(lambda data: change(next(iter(data["artifacts"].values()))))


def _graph(change: Callable[[onnx.ModelProto], object]) -> Change:
    def apply(folder: Path) -> None:
        model = onnx.load(folder / "model.onnx")
        change(model)
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        renew_hash(folder, "model.onnx")

    return apply


def _tensors(name: str, change: Callable[[dict[str, Any]], object]) -> Change:
    def apply(folder: Path) -> None:
        tensors = safetensors.numpy.load_file(folder / name)
        change(tensors)
        safetensors.numpy.save_file(tensors, folder / name)
        renew_hash(folder, name)
        if name == WEIGHTS:
            files = json.loads((folder / MANIFEST).read_text())["files"]
            _manifest(lambda data: data.update(weights_sha256=files[WEIGHTS]["sha256"]))(folder)

    return apply


def _both(*changes: Change) -> Change:
    def apply(folder: Path) -> None:
        for change in changes:
            change(folder)

    return apply


def _entry(model: onnx.ModelProto, key: str) -> onnx.StringStringEntryProto:
    return next(each for each in model.metadata_props if each.key == f"rnn_export.{key}")


def _set(key: str, value: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        _entry(model, key).value = value

    return change


def _moved(values: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        found = getattr(model.graph, values)
        kept = [type(each).FromString(each.SerializeToString()) for each in found]
        del found[:]
        found.extend(kept[1:] + kept[:1])

    return change


def _dim(values: str, k: int, axis: int, size: str | int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        dim = getattr(model.graph, values)[k].type.tensor_type.shape.dim[axis]
        dim.Clear()
        setattr(dim, "dim_param" if isinstance(size, str) else "dim_value", size)

    return change


def _renamed_input(model: onnx.ModelProto) -> None:
    before = model.graph.input[0].name
    model.graph.input[0].name = "renamed"
    for node in model.graph.node:
        node.input[:] = ["renamed" if name == before else name for name in node.input]


def _renamed_output(model: onnx.ModelProto) -> None:
    before = model.graph.output[0].name
    model.graph.output[0].name = "renamed"
    for node in model.graph.node:
        node.output[:] = ["renamed" if name == before else name for name in node.output]
        node.input[:] = ["renamed" if name == before else name for name in node.input]


def _extra_output(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", [model.graph.input[0].name], ["extra"]))
    model.graph.output.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, None))


def _extra_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [1]))


def _input_with_initializer(model: onnx.ModelProto) -> None:
    _extra_input(model)
    model.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), "extra"))


def _extra_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.full((4, 4), 3, np.float32), "extra"))


def _extra_node(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", [model.graph.input[0].name], ["unused"]))


def _scaled_output(factor: float) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        name = model.graph.output[0].name
        for node in model.graph.node:
            node.output[:] = [f"{name}.right" if each == name else each for each in node.output]
            node.input[:] = [f"{name}.right" if each == name else each for each in node.input]
        model.graph.initializer.append(numpy_helper.from_array(np.array(factor, np.float32), "factor"))
        model.graph.node.append(helper.make_node("Mul", [f"{name}.right", "factor"], [name]))

    return change


def _custom(domain: str, operator: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node(operator, [model.graph.input[0].name], ["unused"], domain=domain))
        model.opset_import.add(domain=domain, version=1)

    return change


def _function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], [node], model.opset_import))


def _external(location: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(each for each in model.graph.initializer if each.raw_data)
        size = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, "offset": 0, "length": size}.items():
            tensor.external_data.add(key=key, value=str(value))

    def apply(folder: Path) -> None:
        (folder / location).write_bytes(bytes(10_000))
        _graph(change)(folder)

    return apply


def _wrong_weight(model: onnx.ModelProto) -> None:
    tensor = next(each for each in model.graph.initializer if each.dims and each.data_type == TensorProto.FLOAT)
    array = numpy_helper.to_array(tensor).copy()
    array.flat[0] += 0.01
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _script(write: Callable[[], nn.Module]) -> Change:
    def apply(folder: Path) -> None:
        with suppress_output():
            torch.jit.save(torch.jit.script(write().eval()), folder / "model.pt")
        renew_hash(folder, "model.pt")

    return apply


def _record(name: str, content: bytes) -> Change:
    """Put a record into an archive."""

    def apply(folder: Path) -> None:
        buffer = io.BytesIO((folder / "model.pt").read_bytes())
        with zipfile.ZipFile(buffer, "a") as file:
            file.writestr(f"{file.namelist()[0].partition('/')[0]}/{name}", content)
        (folder / "model.pt").write_bytes(buffer.getvalue())
        renew_hash(folder, "model.pt")

    return apply


class Reading(nn.Module):
    """An archive that reads a file."""

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor) -> Tensor:
        return x + torch.from_file("file", False, 1)


class Swapped(nn.Module):
    """An archive whose inputs come in another order."""

    def forward(self, x: Tensor, c0: Tensor, h0: Tensor) -> Tensor:
        return x + h0.sum() + c0.sum()


class One(nn.Module):
    """An archive of one input."""

    def forward(self, x: Tensor) -> Tensor:
        return x


# Metadata of the file.
for _key, _value in {
    "inputs": '{"x": "float32[N, T, 3]"}',
    "outputs": '["y"]',
    "states": "{}",
    "state_inputs": "rnn.1.h0",
    "state_outputs": "rnn.1.h_n",
    "reset.rnn.0.h0": "1",
    "reset.rnn.1.c0": "0.5",
    "time": "N",
}.items():
    _add(f"metadata: {_key}", "stream", _graph(_set(_key, _value)))
_add("metadata: an entry left out", "stream", _graph(lambda m: m.metadata_props.remove(_entry(m, "time"))))
_add("metadata: an entry added", "stream", _graph(lambda m: m.metadata_props.add(key="ort_config", value="{}")))
_add("metadata: version", "stream", _graph(_set("version", "9.9.9")), TOLD)
_add("producer", "plain", _graph(lambda m: setattr(m, "producer_name", "other")), TOLD)
_add("a note", "plain", _graph(lambda m: setattr(m, "doc_string", "a note")), TOLD)

# What goes in and out of the file.
for _bundle in ("stream", "plain"):
    _add(f"{_bundle}: input renamed", _bundle, _graph(_renamed_input))
    _add(f"{_bundle}: output renamed", _bundle, _graph(_renamed_output))
    _add(f"{_bundle}: inputs moved", _bundle, _graph(_moved("input")))
    _add(f"{_bundle}: outputs moved", _bundle, _graph(_moved("output")))
    _add(f"{_bundle}: an output more", _bundle, _graph(_extra_output))
    _add(f"{_bundle}: an input more", _bundle, _graph(_extra_input))
    _add(f"{_bundle}: an input with an initializer", _bundle, _graph(_input_with_initializer))
    _add(f"{_bundle}: a dimension renamed", _bundle, _graph(_dim("input", 0, 0, "S")))
    _add(f"{_bundle}: a dimension fixed", _bundle, _graph(_dim("input", 0, 0, 7)))
    _add(f"{_bundle}: an output's dimension fixed", _bundle, _graph(_dim("output", 0, 0, 7)))
    _add(f"{_bundle}: an output's dimension renamed", _bundle, _graph(_dim("output", 0, 0, "S")))
    _add(f"{_bundle}: a state's dimension fixed", _bundle, _graph(_dim("input", 1, 1, 3)))
_add("an input's dtype", "plain", _graph(lambda m: setattr(m.graph.input[1].type.tensor_type, "elem_type", 11)))
_add("an output's dtype", "plain", _graph(lambda m: setattr(m.graph.output[0].type.tensor_type, "elem_type", 11)))

# What is in the file.
_add("opset", "plain", _graph(lambda m: setattr(m.opset_import[0], "version", 17)))
_add("a weight", "plain", _graph(_wrong_weight))
_add("a weight of a stream", "stream", _graph(_wrong_weight))
_add("a weight more", "plain", _graph(_extra_weight), "nothing reads it, and it is counted as unknown")
_add("an operator more", "plain", _graph(_extra_node), "it computes what nobody reads")
_add("an output scaled", "plain", _graph(_scaled_output(1.001)))
_add("an output scaled beside int8 weights", "int8", _graph(_scaled_output(1.3)))
_add("an operator of a library", "plain", _graph(_custom("own", "Run")))
_add("an operator that loads a file", "plain", _graph(_custom("com.microsoft", "EPContext")))
_add("an operator of the file's own", "plain", _graph(_function))
for _location in ("hidden.bin", "model.onnx.data", "weights.bin"):
    _add(f"weights in {_location}", "plain", _external(_location))
_add("an archive that reads a file", "script", _script(Reading))
_add("an archive with its inputs swapped", "script", _script(Swapped))
_add("an archive of fewer inputs", "script", _script(One))
_add("an archive with a record more", "script", _record("bytecode.pkl", b""))
_add("an archive with older code", "script", _record("model.json", b"{}"))

# What the manifest says.
_PRECISION = {"weights": "int8", "bound": 0.5, "error": None}
_add("a bound where nothing is rounded", "plain", _artifact(lambda a: a.update(precision=_PRECISION)))
_add(
    "a bound, and an output scaled",
    "plain",
    _both(_graph(_scaled_output(1.2)), _artifact(lambda a: a.update(precision=_PRECISION))),
)
_add("a bound of 4", "int8", _artifact(lambda a: a["precision"].update(bound=4)))
_add(
    "a bound of 1, and an output of zero",
    "int8",
    _both(_graph(_scaled_output(0)), _artifact(lambda a: a["precision"].update(bound=1))),
)
_add("precision of int8 weights left out", "int8", _artifact(lambda a: a.update(precision=None)))
_add("int8 weights called float16", "int8", _artifact(lambda a: a["precision"].update(weights="float16")))
_add("sizes that are no dimension's", "plain", _artifact(lambda a: a.update(bounds={"Q": {"max": 2}})))
_add(
    "a size to stop at", "plain", _artifact(lambda a: a.update(bounds={"T": {"max": 1}})), "larger sizes are tried too"
)
_add("time axis in the manifest", "stream", _artifact(lambda a: a["stream"].update(time="N")))
_add("a state left out", "stream", _artifact(lambda a: a["stream"]["states"].popitem()))
_add("no stream", "stream", _artifact(lambda a: a.update(stream=None)))
_add(
    "a reset value in both",
    "stream",
    _both(
        _graph(_set("reset.rnn.0.h0", "0.5")),
        _artifact(lambda a: a["stream"]["states"]["rnn.0.h0"].update(reset=0.5)),
    ),
)
_add("runtime", "plain", _artifact(lambda a: a.update(runtime="torchscript")))
_add("opset in the manifest", "plain", _artifact(lambda a: a.update(opset=17)))
_add("made by", "plain", _artifact(lambda a: a.update(made_by="hand")), TOLD)
_add("forms", "plain", _artifact(lambda a: a["lowering"].update(target="cuda")), TOLD)
_add("an input's shape", "plain", _manifest(lambda d: d["inputs"]["x"].update(shape=["N", "T", 3])))
_add("an input's range", "plain", _manifest(lambda d: d["inputs"]["x"].update(dtype="int64", range=[0, 1])))
_add("an input left out", "plain", _manifest(lambda d: d["inputs"].popitem()))
_add("inputs in another order", "plain", _manifest(lambda d: d.update(inputs=dict(reversed(d["inputs"].items())))))
_add("outputs in another order", "plain", _manifest(lambda d: d.update(outputs=dict(reversed(d["outputs"].items())))))
_add("an output's dtype in the manifest", "plain", _manifest(lambda d: d["outputs"].update(h_n="float64[2, N, 4]")))
_add("an output's shape in the manifest", "plain", _manifest(lambda d: d["outputs"].update(h_n="float32[N, 2, 4]")))
_add("states exchanged", "plain", _manifest(lambda d: d.update(states={"h0": "c_n", "c0": "h_n"})))
_add("no states", "plain", _manifest(lambda d: d.update(states={})))
_add("arguments", "plain", _manifest(lambda d: d["source"]["arguments"].update(hidden_size=5)))
_add("a billion units", "plain", _manifest(lambda d: d["source"]["arguments"].update(hidden_size=10**9)))
_add("another model", "plain", _manifest(lambda d: d["source"].update(model="tagger")))
_add("a model of others", "plain", _manifest(lambda d: d["source"].update(model="package:Model")), REPLAYED)
_add("no source", "plain", _manifest(lambda d: d.update(source=None)), REPLAYED)
_add("precision of the model", "plain", _manifest(lambda d: d["source"].update(precision="float16")))
_add("seed", "plain", _manifest(lambda d: d["source"].update(seed=9)), "weights are loaded")
_add("hash of the weights", "plain", _manifest(lambda d: d.update(weights_sha256="0" * 64)))
_add("a model file that is not listed", "plain", _manifest(lambda d: d["files"].pop("model.onnx")))
_add("weights not listed", "plain", _manifest(lambda d: d["files"].pop(WEIGHTS)), REPLAYED)
_add("name", "plain", _manifest(lambda d: d.update(name="other")), TOLD)
_add("versions", "plain", _manifest(lambda d: d.update(versions={})), TOLD)
_add("a field more", "plain", _manifest(lambda d: d.update(more=1)))
_add("format", "plain", _manifest(lambda d: d.update(format=4)))

# Weights and cases beside the file.
_add("weights of the model", "plain", _tensors(WEIGHTS, lambda t: t.update({k: v + 0.01 for k, v in t.items()})))
_add("a weight of the model left out", "plain", _tensors(WEIGHTS, lambda t: t.popitem()))


def _case(part: str, amount: float) -> Callable[[dict[str, Any]], None]:
    def change(tensors: dict[str, Any]) -> None:
        key = next(key for key in tensors if f"/{part}/" in key)
        tensors[key] = tensors[key] + np.asarray(amount, tensors[key].dtype)

    return change


_add("outputs of a case", "plain", _tensors(CASES, _case("outputs", 0.01)))
_add("references of a case", "plain", _tensors(CASES, _case("reference", 0.01)))
_add("inputs of a case", "plain", _tensors(CASES, _case("inputs", 0.5)))
_add("outputs of a stream's case", "stream", _tensors(CASES, _case("outputs", 0.01)))
_add("a case left out", "plain", _tensors(CASES, lambda t: t.popitem()))
_add("sizes of a case", "plain", _manifest(lambda d: d["cases"][0].update(sizes={"T": 10**12, "N": 5})))
