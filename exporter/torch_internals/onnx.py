"""Private parts of PyTorch's ONNX exporter: its table of translations, its constants, and where it failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from traceback import walk_tb
from typing import Any

import onnx_ir as ir
from onnxscript.values import TracedOnnxFunction
from torch.fx import Node
from torch.onnx._internal.exporter import _building, _core
from torch.onnx._internal.exporter._registration import ONNXRegistry

from .modules import patched

_from_torchlib = ONNXRegistry.from_torchlib
_parsed = vars(TracedOnnxFunction)["function_ir"]


@contextmanager
def patched_translations(without: set[str], custom: Mapping[Any, Callable[..., Any]]) -> Iterator[None]:
    """Within the block the exporter has no translation for the operators `without`, and these `custom` ones; exclusive.

    The table itself is built once for the process, which PyTorch does for every export.
    """

    def from_torchlib(cls: type[ONNXRegistry], opset_version: int) -> ONNXRegistry:
        registry = cls()
        registry._opset_version = opset_version
        table = _table(opset_version).items()
        registry.functions = {name: list(found) for name, found in table if str(name).partition(".")[0] not in without}
        for target, translation in custom.items():
            registry.register_op(target, translation)
        return registry

    with patched(ONNXRegistry, "from_torchlib", classmethod(from_torchlib)):
        yield


@cache
def _table(opset: int) -> Mapping[Any, Sequence[Any]]:
    return _from_torchlib(opset_version=opset).functions


def patched_constants(
    convert: Callable[[str, dict[str, Any]], dict[str, Any]],
) -> AbstractContextManager[None]:
    """Within the block the inputs of a node are `convert(operator, inputs)` before their numbers become constants."""
    process = _building._process_python_constants

    def converted(signature: Any, named_inputs: dict[str, Any], *others: Any) -> Any:
        return process(signature, convert(signature.name, named_inputs), *others)

    return patched(_building, "_process_python_constants", converted)


def record(node: ir.Node) -> ir.Node:
    """Add a node to the graph that is being built, from within a translation."""
    tracer: Any = _core.current_tracer
    tracer.nodes.append(node)
    return node


class _Unparsed:
    """A traced function whose domain is known, and whose source is parsed when anything else is asked for."""

    def __init__(self, function: TracedOnnxFunction) -> None:
        self._function = function
        self.domain = function.opset.domain

    def __getattr__(self, name: str) -> Any:
        return getattr(_parsed.__get__(self._function), name)


def parsing_lazily() -> AbstractContextManager[None]:
    """Within the block onnxscript parses a traced function when it is needed; exclusive.

    PyTorch lists its translations by domain, for which onnxscript would parse all 500 functions: 0.4 s of the 1 s that
    an export's translation takes.
    """
    return patched(TracedOnnxFunction, "function_ir", property(_Unparsed))


def failed_node(error: BaseException | None) -> Node | None:
    """The node that the exporter was translating when it failed, from its local variable `node`."""
    found = None
    while error is not None:
        nodes = [frame.f_locals.get("node") for frame, _ in walk_tb(error.__traceback__)]
        found = next((node for node in nodes if isinstance(node, Node)), found)
        error = error.__cause__
    return found
