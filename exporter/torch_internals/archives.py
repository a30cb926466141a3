"""Private parts of TorchScript: what an archive holds before it is loaded, and what a loaded one may run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch


def read_records(path: Path) -> dict[str, bytes]:
    """The source in an archive, and the names of all else in it, which is read by nobody: as `torch.jit.load` finds it.

    Raises:
        RuntimeError: it is no archive.
    """
    reader = torch._C.PyTorchFileReader(str(path))
    return {
        name: reader.get_record(name) if name.endswith(".py") or name == "data.pkl" else b""
        for name in reader.get_all_records()
    }


def run_operators(module: torch.jit.ScriptModule) -> Iterator[tuple[str, bool]]:
    """Every operator that a method or hook of the module, or of one in it, may run, and whether it is given text."""
    for each in module.modules():
        script = each._c
        methods = [script._get_method(name) for name in script._method_names()]
        for function in [*methods, *script._get_forward_hooks(), *script._get_forward_pre_hooks()]:
            graph = function.graph.copy()
            torch._C._jit_pass_inline(graph)
            yield from _operators(graph)


def _operators(block: Any) -> Iterator[tuple[str, bool]]:
    for node in block.nodes():
        yield node.kind(), any("str" in str(value.type()) for value in node.inputs())
        for inner in node.blocks():
            yield from _operators(inner)
        for name in node.attributeNames():
            if node.kindOf(name) == "g":
                yield from _operators(node.g(name))
            elif node.kindOf(name) == "gs":
                for graph in node.gs(name):
                    yield from _operators(graph)
