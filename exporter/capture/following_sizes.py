"""Capture inputs whose sizes follow from others, such as `N*T` or `T//2`, with the sizes that they follow from.

PyTorch takes a straight line of one name, `12*(T-4)`, for a dimension. Any other size is one of its own, and the first
thing in the program is an operator that says what it is; once captured, it is nothing but its input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..pytorch.bind import bind_inputs
from ..spec.signature import Signature, TensorSpec
from ..spec.size_expression import names_in, size_of, slope_and_offset
from ..torch_internals.modules import change_leaves, operator_name
from .operators import DOMAIN


@torch.library.custom_op(f"{DOMAIN}::sized", mutates_args=())
def sized(x: Tensor, shape: list[int]) -> Tensor:
    """x, which has this shape."""
    return x.clone()


@sized.register_fake
def _(x: Tensor, shape: list[int]) -> Tensor:
    return x.new_empty(shape)


def dynamic_dims(name: str, spec: TensorSpec, dims: Mapping[str, Dim]) -> dict[int, Dim]:
    """The dimensions of an input for `torch.export`, by axis."""
    return {
        axis: dims[dim] if dim in dims else _following(f"{name.replace('.', '_')}_{axis}", dim, dims)
        for axis, dim in enumerate(spec.shape)
        if isinstance(dim, str)
    }


def least_for(signature: Signature) -> dict[str, int]:
    """The least size of each name that straight lines of it need, of those above 1."""
    lines = [
        (names_in(dim)[0], line)
        for spec in signature.inputs.values()
        for dim in spec.derived
        if (line := slope_and_offset(dim)) is not None
    ]
    needed = [(name, -((offset - 1) // slope)) for name, (slope, offset) in lines]
    return {name: max(least for other, least in needed if other == name) for name, least in needed if least > 1}


@contextmanager
def sized_inputs(model: nn.Module, signature: Signature) -> Iterator[None]:
    """Within the block the model's forward gets inputs whose sizes are those that they follow from."""
    specs = [signature.inputs[name] for name in bind_inputs(model, signature.inputs).order()]
    if not any(_is_free(dim) for spec in specs for dim in spec.derived):
        yield
        return

    def change(module: nn.Module, args: Any, kwargs: Any) -> Any:
        names = bind_inputs(model, signature.inputs).order()
        return change_leaves((args, kwargs), lambda tensors: _sized(signature, dict(zip(names, tensors, strict=True))))

    handle = model.register_forward_pre_hook(change, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def drop_sized(program: ExportedProgram) -> None:
    """Take out the operators that say what sizes inputs have, in place."""
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if operator_name(node.target) == f"{DOMAIN}::sized":
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    graph.eliminate_dead_code()


def _sized(signature: Signature, tensors: Mapping[str, Tensor]) -> list[Tensor]:
    sizes = signature.sizes({name: tensor.shape for name, tensor in tensors.items()})
    changed = []
    for name, tensor in tensors.items():
        dims = signature.inputs[name].shape
        shape = [
            size_of(dim, sizes) if isinstance(dim, str) and _is_free(dim) else tensor.shape[axis]
            for axis, dim in enumerate(dims)
        ]
        changed.append(sized(tensor, shape) if any(isinstance(dim, str) and _is_free(dim) for dim in dims) else tensor)
    return changed


def _is_free(dim: str) -> bool:
    return not dim.isidentifier() and slope_and_offset(dim) is None


def _following(own: str, dim: str, dims: Mapping[str, Dim]) -> Dim:
    line = slope_and_offset(dim)
    if line is None:
        return Dim(own)
    slope, offset = line
    root = dims[names_in(dim)[0]]
    scaled = root if slope == 1 else slope * root
    return scaled + offset if offset > 0 else scaled - -offset if offset < 0 else scaled
