"""Which names of TorchScript's code are one value: a list after it has grown, a state that a loop hands on unchanged.

In TorchScript every result has a name of its own, also the list that `ys += [y]` returns, which is `ys`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...torch_internals.script_code import Block, Node, Value
from .plain import changes_list

_SAME = ("prim::unchecked_cast", "prim::unchecked_unwrap_optional", "aten::_unwrap_optional", "prim::annotate")


@dataclass
class Aliases:
    """For the key of each value, the key of the value that it is."""

    same: dict[int, int] = field(default_factory=dict)

    def of(self, value: Value) -> int:
        """The key of the value that stands for this one."""
        key = value.key
        while key in self.same:
            key = self.same[key]
        return key

    def read(self, block: Block) -> None:
        """Find the aliases in a block and all within it, in order."""
        for node in block.nodes:
            if node.kind == "prim::If":
                self._branches(node)
            elif node.kind == "prim::Loop":
                self._loop(node)
            elif node.outputs and (node.kind in _SAME or changes_list(node)):
                self.same[node.outputs[0].key] = self.of(node.inputs[0])

    def _branches(self, node: Node) -> None:
        for block in node.blocks:
            self.read(block)
        first, second = node.blocks
        for out, one, other in zip(node.outputs, first.returns, second.returns, strict=True):
            # A value made within a branch is not there beside it.
            if self.of(one) == self.of(other):
                self.same[out.key] = self.of(one)

    def _loop(self, node: Node) -> None:
        body = node.blocks[0]
        self.read(body)
        for out, initial, begin, end in zip(
            node.outputs, node.inputs[2:], body.parameters[1:], body.returns[1:], strict=True
        ):
            if self.of(end) == begin.key:
                self.same[begin.key] = self.of(initial)
                self.same[out.key] = self.of(initial)
