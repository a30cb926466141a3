"""Faults in weights, planted in the tensors of an ONNX file and of a TorchScript module alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from .graphs import set_tensor
from .kinds import add

Array = NDArray[Any]
# Those tensors of a file that are to be others; nothing where the fault does not apply.
Change = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def tensor_kind(change: Change) -> Change:
    """Register a fault that changes weights."""

    def in_onnx(model: onnx.ModelProto) -> onnx.ModelProto | None:
        held = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
        changed = change(_weights(held))
        for name, array in changed.items():
            set_tensor(model, name, array)
        return model if changed else None

    def in_torchscript(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule | None:
        graph: Any = module.graph
        constants = {node.output().debugName(): node for node in graph.findAllNodes("prim::Constant")}
        held = {
            name: value.numpy()
            for name, node in constants.items()
            if isinstance(value := node.output().toIValue(), torch.Tensor)
        }
        changed = change(_weights(held))
        for name, array in changed.items():
            constants[name].t_("value", torch.from_numpy(np.ascontiguousarray(array)))
        return module if changed else None

    add(change, in_onnx, in_torchscript)
    return change


def _weights(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Copies of the float32 tensors of more than one element."""
    return {name: array.copy() for name, array in tensors.items() if array.dtype == np.float32 and array.size > 1}


def _largest(tensors: Mapping[str, Array]) -> str:
    return max(tensors, key=lambda name: tensors[name].size)


def _matrices(tensors: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array for name, array in tensors.items() if array.squeeze().ndim > 1}


def _biases(tensors: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array for name, array in tensors.items() if array.squeeze().ndim == 1}


@tensor_kind
def one_weight_off_by_a_float16_rounding(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """One weight of the largest tensor is rounded to float16: the one that this changes least."""
    name = _largest(tensors)
    array = tensors[name]
    off = np.abs(array.astype(np.float16) - array)
    place = np.unravel_index(np.argmin(np.where(off > 0, off, np.inf)), array.shape)
    array[place] = np.float16(array[place])
    return {name: array}


@tensor_kind
def one_weight_up_by_an_ulp(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """The last weight of the largest tensor is the next larger number."""
    name = _largest(tensors)
    array = tensors[name]
    array.flat[-1] = np.nextafter(array.flat[-1], np.float32(np.inf))
    return {name: array}


@tensor_kind
def weights_in_float16(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """Every weight is rounded to float16."""
    return {name: array.astype(np.float16).astype(np.float32) for name, array in tensors.items()}


@tensor_kind
def weights_in_bfloat16(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """Every weight is rounded to bfloat16."""
    return {name: array.astype(ml_dtypes.bfloat16).astype(np.float32) for name, array in tensors.items()}


@tensor_kind
def one_tensor_in_float16(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """The smallest tensor is rounded to float16."""
    name = min(tensors, key=lambda each: tensors[each].size)
    return {name: tensors[name].astype(np.float16).astype(np.float32)}


@tensor_kind
def every_weight_an_ulp_away(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """Every weight is the next number towards zero."""
    return {name: np.nextafter(array, np.float32(0)) for name, array in tensors.items()}


@tensor_kind
def one_weight_zero(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """The smallest weight of the largest tensor is zero."""
    name = _largest(tensors)
    array = tensors[name]
    array.flat[np.argmin(np.abs(array))] = 0
    return {name: array}


@tensor_kind
def one_weight_not_a_number(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """One weight of the largest tensor is NaN."""
    name = _largest(tensors)
    tensors[name].flat[0] = np.nan
    return {name: tensors[name]}


@tensor_kind
def two_weights_swapped(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """The two weights of the largest tensor that are nearest to one another stand in each other's place."""
    name = _largest(tensors)
    flat = tensors[name].reshape(-1)
    order = np.argsort(flat)
    gaps = np.diff(flat[order])
    k = int(np.argmin(np.where(gaps > 0, gaps, np.inf)))
    flat[order[[k, k + 1]]] = flat[order[[k + 1, k]]]
    return {name: tensors[name]}


@tensor_kind
def rows_swapped(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """The first and the last row of the largest matrix stand in each other's place."""
    name = _largest(_matrices(tensors))
    rows = tensors[name].reshape(-1, tensors[name].shape[-1])
    rows[[0, -1]] = rows[[-1, 0]]
    return {name: tensors[name]}


@tensor_kind
def square_weights_transposed(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """Each square block of the first matrix that consists of such is turned over."""
    for name, array in _matrices(tensors).items():
        rows = array.reshape(-1, array.shape[-1])
        size = min(rows.shape)
        if max(rows.shape) % size == 0:
            blocks = rows.reshape(-1, size, size) if rows.shape[1] == size else rows.T.reshape(-1, size, size)
            turned = blocks.transpose(0, 2, 1).reshape(-1, size)
            return {name: (turned if rows.shape[1] == size else turned.T).reshape(array.shape)}
    return {}


@tensor_kind
def gates_swapped(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """In every recurrent matrix of several gates the first two stand in each other's place."""
    changed = {}
    for name, array in _matrices(tensors).items():
        rows = array.reshape(-1, array.shape[-1])
        turned = rows.shape[1] > rows.shape[0]
        gates = np.array(rows.T if turned else rows)
        size = gates.shape[1]
        if "hh" in name and gates.shape[0] >= 2 * size:
            gates[: 2 * size] = np.roll(gates[: 2 * size], size, axis=0)
            changed[name] = (gates.T if turned else gates).reshape(array.shape)
    return changed


@tensor_kind
def a_bias_dropped(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """The first bias is zero."""
    name = next(iter(_biases(tensors)), None)
    return {} if name is None else {name: np.zeros_like(tensors[name])}


@tensor_kind
def one_gates_bias(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """Of the last bias the first quarter is another one."""
    name = next(reversed(_biases(tensors)), None)
    if name is None:
        return {}
    flat = tensors[name].reshape(-1)
    flat[: -(-flat.size // 4)] += np.float32(0.5)
    return {name: tensors[name]}


@tensor_kind
def bias_added_twice(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """The second half of the last bias, where ONNX has the recurrent ones, counts twice."""
    name = next(reversed(_biases(tensors)), None)
    if name is None:
        return {}
    flat = tensors[name].reshape(-1)
    flat[flat.size // 2 :] *= 2
    return {name: tensors[name]}


@tensor_kind
def sign_of_a_tensor(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """The largest tensor has the other sign."""
    name = _largest(tensors)
    return {name: -tensors[name]}


@tensor_kind
def tensors_of_two_layers_swapped(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """Two matrices of one shape stand in each other's place (two biases would add up to the same)."""
    for name, array in _matrices(tensors).items():
        for other, same in _matrices(tensors).items():
            if other != name and same.shape == array.shape and not np.array_equal(same, array):
                return {name: same, other: array}
    return {}
