"""The stored tensors of a captured program: the parts of its complex ones, and constants that rules need."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument
from torch.fx import Node

from ...errors import CaptureError
from ...torch_internals.modules import tree_leaves
from .writer import Pair

_STORED = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


def is_complex(node: Node) -> bool:
    """Whether a node's value, or one of its values, is complex."""
    return any(isinstance(value, Tensor) and value.is_complex() for value in tree_leaves(node.meta.get("val")))


class Stored:
    """The parameters, buffers and constants of a program, among them the parts of the complex ones."""

    def __init__(self, program: ExportedProgram) -> None:
        self._program = program
        self._added: dict[str, Node] = {}
        values = (node.meta.get("val") for node in program.graph.nodes)
        self.fake_mode = next(value.fake_mode for value in values if hasattr(value, "fake_mode"))
        self._complex = [
            (node, spec)
            for node, spec in zip(self._placeholders(), program.graph_signature.input_specs, strict=True)
            if is_complex(node)
        ]

    def pairs(self) -> dict[Node, Pair]:
        """The parts of each complex tensor.

        Raises:
            CaptureError: forward writes to one.
        """
        found = {}
        for node, spec in self._complex:
            if spec.target in self._program.graph_signature.buffers_to_mutate.values() or spec.kind not in _STORED:
                raise CaptureError(
                    f"The model writes complex numbers to its buffer '{spec.target}', which no file keeps. "
                    "Keep torch.view_as_real of them."
                )
            value = self._tensors(spec)[str(spec.target)].detach().resolve_conj()
            found[node] = Pair(
                *(self.add(f"{spec.target}.{part}", getattr(value, part).contiguous()) for part in ("real", "imag"))
            )
        return found

    def add(self, key: str, tensor: Tensor) -> Node:
        """A buffer that holds a tensor, by the name it is known by."""
        if key not in self._added:
            specs = self._program.graph_signature.input_specs
            place = sum(spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) for spec in specs)
            with self._program.graph.inserting_before(self._placeholders()[place]):
                node = self._program.graph.placeholder(f"b_{re.sub(r'[^A-Za-z0-9_]', '_', key)}")
            node.meta["val"] = self.fake_mode.from_tensor(tensor, static_shapes=True)
            specs.insert(place, InputSpec(InputKind.BUFFER, TensorArgument(node.name), key, persistent=True))
            self._program.state_dict[key] = tensor
            self._added[key] = node
        return self._added[key]

    def remove_complex(self) -> None:
        for node, spec in self._complex:
            self._program.graph.erase_node(node)
            self._program.graph_signature.input_specs.remove(spec)
            del self._tensors(spec)[str(spec.target)]
        self._program.graph_module.recompile()

    def _tensors(self, spec: InputSpec) -> dict[str, Any]:
        is_constant = spec.kind == InputKind.CONSTANT_TENSOR or spec.persistent is False
        tensors: dict[str, Any] = self._program.constants if is_constant else self._program.state_dict
        return tensors

    def _placeholders(self) -> list[Node]:
        return [node for node in self._program.graph.nodes if node.op == "placeholder"]
