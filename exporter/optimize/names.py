"""Name inputs, outputs and dimensions as the signature has them, and describe the model in its metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping

import onnx_ir as ir
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, NameFixPass, OutputFixPass

from ..spec.metadata import metadata_of
from ..spec.signature import Signature
from ..spec.size_expression import names_in, slope_and_offset
from ..spec.streams import StreamSpec
from ..version import __version__
from .graph import defined_by
from .user_places import remember_places

_WORD = re.compile(r"[A-Za-z_]\w*")


def name_after(model: ir.Model, signature: Signature) -> None:
    """Name everything after `signature`, drop PyTorch's notes, which hold paths, and make names unique."""
    remember_places(model)
    ClearMetadataAndDocStringPass()(model)
    OutputFixPass()(model)
    symbols = _symbols(model.graph, signature)
    for value, (name, spec) in zip(model.graph.inputs, signature.inputs.items(), strict=True):
        value.name = name
        value.shape = ir.Shape(spec.shape)
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        for value in defined_by(node):
            _rename_dims(value, symbols)
    taken = {*signature.inputs, *signature.outputs}
    for node in model.graph:
        for value in node.outputs:
            if value.name in taken and not value.is_graph_output():
                value.name = f"{value.name}.inner"
    for value, name in zip(model.graph.outputs, signature.outputs, strict=True):
        value.name = name
    NameFixPass()(model)
    model.graph.name = "main"


def _symbols(graph: ir.Graph, signature: Signature) -> dict[str, str]:
    """The signature's name of each dimension, by the name that the capture made up."""
    symbols: dict[str, str] = {}
    for value, spec in zip(graph.inputs, signature.inputs.values(), strict=True):
        for dim, name in zip(value.shape or (), spec.shape, strict=False):
            if isinstance(dim, ir.SymbolicDim) and dim.value is not None:
                symbols[dim.value] = str(name)
    # Of a size that nothing has alone, the capture knows the multiple: `4*s0`.
    for value, spec in zip(graph.inputs, signature.inputs.values(), strict=True):
        for dim, text in zip(value.shape or (), spec.shape, strict=False):
            words = _WORD.findall(str(dim.value)) if isinstance(dim, ir.SymbolicDim) else []
            if len(words) == 1 and str(text) in spec.derived and slope_and_offset(str(text)) is not None:
                symbols.setdefault(words[0], names_in(str(text))[0])
    return symbols


def _rename_dims(value: ir.Value, symbols: dict[str, str]) -> None:
    if value.shape is not None:
        value.shape = ir.Shape(
            [
                _rename(dim.value, symbols) if isinstance(dim, ir.SymbolicDim) and dim.value is not None else dim
                for dim in value.shape
            ]
        )


def _rename(expression: str, symbols: dict[str, str]) -> str:
    renamed = re.sub(r"\w+", lambda word: symbols.get(word[0], word[0]), expression)
    if not re.fullmatch(r"\w+(\*\w+)+", renamed):
        return renamed
    # The capture orders a product by names of its own, which differ from model to model.
    order = list(symbols.values())
    return "*".join(sorted(renamed.split("*"), key=lambda name: order.index(name) if name in order else -1))


def describe(model: ir.Model, signature: Signature, stream: StreamSpec | None, added: Mapping[str, str]) -> None:
    """Write `producer_name`, `producer_version` and `metadata_props`, which any ONNX reader can show."""
    model.producer_name = "rnn-export"
    model.producer_version = __version__
    model.metadata_props.clear()
    model.metadata_props.update(metadata_of(signature, stream, added))
