"""No module outside `torch_internals` uses a private name of PyTorch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import rnn_export
import rnn_export.models

PACKAGE = Path(rnn_export.__file__).parent
MODELS = Path(rnn_export.models.__file__).parent

# Python's own, onnxscript's, and ours.
ALLOWED = {"_getframe", "_fields", "_field_defaults", "_DEFAULT_REWRITE_RULES", "_begin", "_constant_folding", "_no_op"}


# Where a name is our own, or that of an operator, which a captured graph is made of.
OURS = {"self", "cls", "_aten", "aten", "torch.ops.aten"}


def sources() -> list[Path]:
    paths = {*PACKAGE.rglob("*.py"), *MODELS.rglob("*.py")}
    return sorted(path for path in paths if "torch_internals" not in path.parts)


def private_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Private names of anything but the module and the class themselves, with their lines."""
    for node in ast.walk(tree):
        yield from ((getattr(node, "lineno", 0), name) for name in names_in(node) if is_private(name))


def names_in(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Attribute):
        return [] if ast.unparse(node.value) in OURS else [node.attr]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [*(node.module or "").split("."), *(alias.name for alias in node.names)]
    if isinstance(node, ast.Import):
        return [part for alias in node.names for part in alias.name.split(".")]
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("getattr", "setattr", "hasattr")
    ):
        return [node.args[1].value] if isinstance(node.args[1], ast.Constant) else []
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        return [node.slice.value]
    return []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in ALLOWED


def test_no_private_name() -> None:
    trees = {path: ast.parse(path.read_text()) for path in sources()}
    assert len(trees) > 100
    found = [f"{path}:{line} {name}" for path, tree in trees.items() for line, name in private_names(tree)]
    assert not found, f"Move the use of these to torch_internals, with a test that they exist: {found}"


@pytest.mark.parametrize(
    "source",
    [
        "torch._check(size)",
        "torch._C._nn.pad_sequence",
        "node.target._schema",
        "from torch._ops import OpOverload",
        "from torch.utils import _pytree",
        "import torch._dynamo",
        "getattr(model, '_orig_mod', None)",
        "vars(module)['_modules']",
    ],
)
def test_a_private_name_is_found(source: str) -> None:
    assert list(private_names(ast.parse(source)))


def test_a_private_name_of_our_own_is_none() -> None:
    assert not list(private_names(ast.parse("self._x + cls._y + _z\nfrom .module import _x\nimport __future__")))
