"""Numbers that a trace has as tensors: a size, and what is computed from sizes.

A trace records `x.size(0) * 2` as a product of two tensors of one element each. As Python numbers they stay sizes,
which a capture keeps symbolic.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...torch_internals.script_code import Node, Value

_ARITHMETIC = ("aten::add", "aten::sub", "aten::mul", "aten::floor_divide")


def numbers_in(nodes: Mapping[int, Node]) -> frozenset[int]:
    """The keys of the values that are such numbers, given what makes each value of a function, in order."""
    found: set[int] = set()
    for key, node in nodes.items():
        if _is_size(node) or (node.kind in _ARITHMETIC and _is_arithmetic(node, nodes, found)):
            found.add(key)
    return frozenset(found)


def _is_size(node: Node) -> bool:
    return node.kind == "prim::NumToTensor" and node.inputs[0].kind == "IntType"


def _is_arithmetic(node: Node, nodes: Mapping[int, Node], found: set[int]) -> bool:
    """Whether a node computes such a number from others and constants; one may have the other as a multiple of 1."""
    operands, factors = node.inputs[:2], node.inputs[2:]
    if not any(value.key in found for value in operands):
        return False
    once = all(value.key in nodes and nodes[value.key].constant == 1 for value in factors)
    return once and all(value.key in found or _is_whole(value, nodes) for value in operands)


def _is_whole(value: Value, nodes: Mapping[int, Node]) -> bool:
    """Whether a value is an integer, also a constant one that is a tensor."""
    node = nodes.get(value.key)
    constant = None if node is None else node.constant
    is_tensor = isinstance(constant, torch.Tensor) and constant.dim() == 0 and constant.dtype == torch.int64
    return value.kind == "IntType" or is_tensor
