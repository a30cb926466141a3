"""Which expression may stand where its value is used, rather than on a line of its own: one that nothing can change."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator

from ...torch_internals.script_code import Block, Node, Value
from .aliases import Aliases
from .plain import changes_list, is_plain, reads_list, takes_from_list

# These change the shape of a tensor in place, so that where a size is asked for matters.
_RESHAPING = re.compile(r"aten::(resize|squeeze|unsqueeze|t|transpose|swapaxes|swapdims|set|resize_as|as_strided)_")
_UNPACKING = ("prim::TupleUnpack", "prim::ListUnpack")

# What these return depends on the shape of a tensor or the names of values alone.
_PURE = (
    *("prim::TupleConstruct", "prim::ListConstruct", "prim::TupleUnpack", "prim::Uninitialized", "prim::GetAttr"),
    *("prim::device", "prim::dtype", "aten::size", "aten::dim", "aten::numel"),
)


class Inlining:
    """How the values of a function are used."""

    def __init__(self, body: Block, aliases: Aliases) -> None:
        self.nodes = {out.key: node for node in nodes_of(body) for out in node.outputs}
        self._uses: Counter[int] = Counter(aliases.of(value) for value in _used(body))
        self._aliases = aliases
        self._far = {*_far(body, aliases)}
        self._unpacked = {*_unpacked(body)}
        self._reshapes = any(_RESHAPING.fullmatch(node.kind) for node in self.nodes.values())

    def uses(self, value: Value) -> int:
        """How often a value is used, under whatever name."""
        return self._uses[self._aliases.of(value)]

    def is_local(self, value: Value) -> bool:
        """Whether a value is used once, and not within a loop or branch beside which it is made."""
        return self.uses(value) == 1 and value.key not in self._far and value.key not in self._aliases.same

    def stands_inline(self, node: Node, *, asking: bool) -> bool:
        """Whether the one value of a node may be written where it is used; `asking` is within a condition."""
        value = node.outputs[0]
        if node.kind == "prim::Uninitialized":
            return True
        if not self.is_local(value) or node.kind == "prim::GetAttr":
            return False
        if value.key in self._unpacked or (asking and not _acts(node)):
            return True
        return self.is_pure(node) and not self._reshapes

    def is_pure(self, node: Node) -> bool:
        """Whether making a node's value changes nothing, and it is the same whenever it is made."""
        if node.kind in _PURE:
            return True
        if not is_plain(node) or takes_from_list(node) or changes_list(node):
            return False
        return not reads_list(node) or self._is_of_shape(node)

    def _is_of_shape(self, node: Node) -> bool:
        """Whether a node reads the shape of a tensor, a list that nothing changes."""
        made = self.nodes.get(node.inputs[0].key)
        return node.kind in ("aten::__getitem__", "aten::len") and made is not None and made.kind == "aten::size"


def nodes_of(block: Block) -> Iterator[Node]:
    """Every node in a block, those of its branches and loops included."""
    for node in block.nodes:
        yield node
        for inner in node.blocks:
            yield from nodes_of(inner)


def _acts(node: Node) -> bool:
    """Whether a node may do something besides making its value."""
    return node.kind.startswith("prim::Call") or node.kind.endswith("_") or bool(node.blocks) or takes_from_list(node)


def _used(block: Block) -> Iterator[Value]:
    for node in block.nodes:
        yield from node.inputs
        for inner in node.blocks:
            yield from _used(inner)
    yield from block.returns


def _far(block: Block, aliases: Aliases) -> Iterator[int]:
    made = {out.key for node in block.nodes for out in node.outputs}
    for node in block.nodes:
        for inner in node.blocks:
            yield from {aliases.of(value) for value in _used(inner)} & made
            yield from _far(inner, aliases)


def _unpacked(block: Block) -> Iterator[int]:
    """Values that the next node takes apart."""
    nodes = [node for node in block.nodes if node.kind != "prim::Constant"]
    for node, following in itertools.pairwise(nodes):
        if following.kind in _UNPACKING and len(node.outputs) == 1:
            yield from (out.key for out in node.outputs if out.key == following.inputs[0].key)
    for node in nodes:
        for inner in node.blocks:
            yield from _unpacked(inner)
