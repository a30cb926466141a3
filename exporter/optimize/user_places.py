"""Remember which line of the user's source, and which module, a node came from, when PyTorch's notes are dropped."""

from __future__ import annotations

import ast

import onnx_ir as ir

from ..pytorch.source_lines import stack_line

_LINE, _MODULE = "rnn_export.line", "rnn_export.module"


def remember_places(model: ir.Model) -> None:
    """Keep the line and the module of every node beside the graph; neither is written to a file."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        node.meta[_LINE], node.meta[_MODULE] = line_of(node), module_of(node)


def line_of(node: ir.Node) -> str:
    """`model.py:12`; empty if not known."""
    stack = node.metadata_props.get("pkg.torch.onnx.stack_trace")
    return stack_line(stack) if stack else str(node.meta.get(_LINE, ""))


def module_of(node: ir.Node) -> str:
    """The module that a node came from, such as `encoder.0`; empty for the model itself, or if not known."""
    scopes = node.metadata_props.get("pkg.torch.onnx.name_scopes")
    return _innermost(scopes) if scopes else str(node.meta.get(_MODULE, ""))


def _innermost(scopes: str) -> str:
    """The last but one of the names that PyTorch lists from the outside to the operator's own."""
    names = ast.literal_eval(scopes)
    return str(names[-2]) if len(names) > 1 else ""
