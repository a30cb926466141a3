"""Read what a model file holds: inputs, outputs, states, recurrent layers, operators, parameters, size."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import onnx

from ..bundle.files import read_bundle
from ..errors import BundleError
from ..onnx_file import all_graphs, all_nodes, constants, read_onnx
from ..spec.added_metadata import PREFIX
from .recurrent_nodes import recurrent_nodes

_MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class Inspection:
    """One model file; inputs and outputs as text such as `float32[T, N, 100]`, `?` where the file does not say.

    `states` are those that a stream carries, by input name, as `StateEntry` has them. `layers` are ONNX's own recurrent
    operators, such as `GRU 161 to 400, forward`, with the inputs that a state begins with. `weights` says how many of
    the parameters are held in which dtype; the scales of int8 weights are none of them. `own_operators` are those of
    ONNX Runtime (com.microsoft), which no other runtime is known to have.
    """

    path: Path
    format: str
    made_by: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    states: Mapping[str, Mapping[str, Any]]
    layers: Sequence[str]
    operators: Mapping[str, int]
    own_operators: Sequence[str]
    parameters: int
    weights: Mapping[str, int]
    bytes: int

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "path": str(self.path)}


def inspect(path: str | Path) -> list[Inspection]:
    """Look into a model file, or into every model file of a bundle.

    Raises:
        BundleError: it is neither a model file nor a bundle.
    """
    path = Path(path)
    if path.is_dir():
        manifest = read_bundle(path)
        return [inspection for name in manifest.artifacts for inspection in inspect(path / name)]
    if path.suffix == ".onnx":
        return [_inspect_onnx(path)]
    if path.suffix in (".pt", ".pth", ".ts", ".jit"):
        return [_inspect_torchscript(path)]
    if not path.exists():
        raise BundleError(f"There is no file {path}. Give an .onnx file, a TorchScript .pt file or a bundle.")
    raise BundleError(f"{path} is not a model file. Give an .onnx file, a TorchScript .pt file or a bundle.")


def _inspect_onnx(path: Path) -> Inspection:
    model = read_onnx(path, weights=False)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    tensors = {tensor.name: tensor for tensor in _initializers(model.graph)}
    weights = Counter[str]()
    for tensor in [*(tensor for tensor in tensors.values() if _is_weight(tensor, tensors)), *_held(model.graph)]:
        weights[_dtype(tensor.data_type)] += prod(tensor.dims)
    external = {entry.value for tensor in tensors.values() for entry in tensor.external_data if entry.key == "location"}
    beside = [path.parent / name for name in external]
    return Inspection(
        path=path,
        format=f"ONNX, opset {opset}, IR {model.ir_version}",
        made_by=" ".join(filter(None, (model.producer_name, model.producer_version))),
        inputs={value.name: _describe(value) for value in model.graph.input if value.name not in tensors},
        outputs={value.name: _describe(value) for value in model.graph.output},
        states=_read_states(properties.get(f"{PREFIX}.states", "{}"), path),
        layers=[str(layer) for layer in recurrent_nodes(model.graph)],
        operators=dict(Counter(node.op_type for node in all_nodes(model.graph)).most_common()),
        own_operators=sorted({node.op_type for node in all_nodes(model.graph) if node.domain == _MICROSOFT}),
        parameters=weights.total(),
        weights=dict(weights.most_common()),
        bytes=path.stat().st_size + sum(map(_size, beside)),
    )


def _read_states(text: str, path: Path) -> dict[str, dict[str, Any]]:
    """The states that an export wrote into the file's metadata.

    Raises:
        BundleError: they are not what an export writes.
    """
    try:
        states = json.loads(text)
        return {
            str(name): {**state, "output": str(state["output"]), "reset": state["reset"]}
            for name, state in states.items()
        }
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise BundleError(
            f"{path} names its states in a way that no export does ({type(error).__name__}). Export the model again."
        ) from error


def _size(file: Path) -> int:
    """The bytes of a file that a model names; 0 where there is none of that name."""
    try:
        return file.stat().st_size if file.is_file() else 0
    except (OSError, ValueError):  # a name that no file can have
        return 0


def _initializers(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    for inner in all_graphs(graph):
        yield from inner.initializer


def _held(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """The float tensors that lie in nodes, with a dimension at least."""
    for inner in all_graphs(graph):
        yield from (t for t in constants(inner) if t.dims and _dtype(t.data_type).startswith("float"))


def _is_weight(tensor: onnx.TensorProto, tensors: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether it is a float tensor or int8 weights; the scales and zero points that lie beside those are neither."""
    weight, _, role = tensor.name.rstrip("_").rpartition(".")
    if role in ("scale", "zero") and f"{weight}.int8" in tensors:
        return False
    return _dtype(tensor.data_type).startswith(("float", "bfloat", "int8"))


def _dtype(kind: int) -> str:
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(kind).name)
    except KeyError:  # of a newer ONNX, or damaged
        return "?"


def _describe(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type
    dtype = _dtype(kind.elem_type) if kind.elem_type else "?"
    dims = [dim.dim_param or (str(dim.dim_value) if dim.HasField("dim_value") else "?") for dim in kind.shape.dim]
    return f"{dtype}[{', '.join(dims)}]"


def _inspect_torchscript(path: Path) -> Inspection:
    from ..pytorch.archive import read_torchscript  # torch, which ONNX files are inspected without

    module = read_torchscript(path)
    graph = module.inlined_graph
    nodes = list(_script_nodes(graph))
    constants = [node.t("value") for node in nodes if node.kind() == "prim::Constant" and _holds_tensor(node)]
    parameters = [*module.parameters(), *(tensor for tensor in constants if tensor.is_floating_point())]
    weights = Counter[str]()
    for tensor in parameters:
        weights[str(tensor.dtype).removeprefix("torch.")] += tensor.numel()
    kinds = Counter(node.kind().removeprefix("aten::") for node in nodes if node.kind().startswith("aten::"))
    return Inspection(
        path=path,
        format="TorchScript",
        made_by="torch.jit",
        inputs={value.debugName().partition(".")[0]: str(value.type()) for value in list(graph.inputs())[1:]},
        outputs={f"[{i}]": str(value.type()) for i, value in enumerate(graph.outputs())},
        states={},
        layers=[],
        operators=dict(kinds.most_common()),
        own_operators=(),
        parameters=weights.total(),
        weights=dict(weights.most_common()),
        bytes=path.stat().st_size,
    )


def _script_nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _script_nodes(inner)


def _holds_tensor(node: Any) -> bool:
    return bool(node.hasAttribute("value") and node.kindOf("value") == "t")
