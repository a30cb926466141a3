"""Flatten what a model returns to tensors, and name them."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

from torch import Tensor, nn

from ..errors import CaptureError, SignatureError, type_in_words
from ..spec.signature import Signature, is_name

Path = tuple[str | int, ...]


def flatten(output: Any) -> list[tuple[Path, Tensor]]:
    """The tensors in nested tuples, lists, dictionaries and dataclasses, each with the keys that lead to it.

    None and empty containers are dropped: a file has no outputs for them.

    Raises:
        CaptureError: it holds something else than tensors and such containers.
    """
    return list(_walk(output, ()))


def _walk(output: Any, path: Path) -> Iterator[tuple[Path, Tensor]]:
    if isinstance(output, Tensor):
        # numpy cannot take the imaginary part of a conjugate as it is.
        yield path, output.resolve_neg()
    elif output is None:
        return
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from _walk(value, (*path, str(key)))
    elif isinstance(output, (tuple, list)):
        fields = getattr(output, "_fields", range(len(output)))
        for field, value in zip(fields, output, strict=True):
            yield from _walk(value, (*path, field))
    elif dataclasses.is_dataclass(output):
        for member in dataclasses.fields(output):
            yield from _walk(getattr(output, member.name), (*path, member.name))
    else:
        where = "".join(f"[{key!r}]" for key in path)
        raise CaptureError(
            f"The model returns {type_in_words(output)}{f' at {where}' if where else ''}. "
            "Return a tensor, or a tuple, list or dictionary of tensors."
        )


@contextmanager
def returning_tensors(model: nn.Module) -> Iterator[None]:
    """Within the block the model returns a flat tuple of tensors where PyTorch cannot flatten what it returns."""
    handle = model.register_forward_hook(
        lambda module, args, output: output if _is_plain(output) else tuple(tensor for _, tensor in flatten(output))
    )
    try:
        yield
    finally:
        handle.remove()


def _is_plain(output: Any) -> bool:
    if type(output) is dict:
        return all(isinstance(value, Tensor) for value in output.values())
    return isinstance(output, Tensor) or (type(output) in (tuple, list) and all(map(_is_plain, output)))


def name_outputs(model: nn.Module, output: Any, signature: Signature) -> Signature:
    """The signature with its outputs named: by the user, else by key, variable name or position.

    Raises:
        CaptureError: the model returns no tensor, complex numbers, or something else than tensors.
        SignatureError: the number of names is not that of the outputs.
    """
    leaves = flatten(output)
    if not leaves:
        raise CaptureError("The model returns no tensor. Return at least one.")
    if any(tensor.is_complex() for _, tensor in leaves):
        raise CaptureError("The model returns complex numbers, which ONNX lacks. Return torch.view_as_real of them.")
    if signature.outputs and len(signature.outputs) != len(leaves):
        raise SignatureError(
            f"{len(signature.outputs)} output names ({', '.join(signature.outputs)}) were given for {len(leaves)} "
            "outputs. Name all of them, or none."
        )
    if signature.outputs:
        return signature
    returned = _returned_names(model)
    names = [_leaf_name(path, returned) for path, _ in leaves]
    return signature.with_outputs(_distinct(names, set(signature.inputs)))


def _leaf_name(path: Path, returned: Mapping[Path, str]) -> str:
    for length in range(len(path), -1, -1):
        if name := returned.get(path[:length]):
            return ".".join([name, *map(str, path[length:])])
    keys = [str(key) for key in path if isinstance(key, str)]
    return ".".join(keys) if keys else "output"


def _distinct(names: list[str], inputs: set[str]) -> list[str]:
    """Valid and distinct names: the name of an input gets `_out`, repeated names get a number."""
    valid = [name if is_name(name) else "output_" + re.sub(r"[^A-Za-z0-9_]", "_", name) for name in names]
    apart = [f"{name}_out" if name in inputs else name for name in valid]
    taken = {*inputs, *(name for name in apart if apart.count(name) == 1)}
    found = []
    for name in apart:
        numbered = (f"{name}_{i}" for i in count())
        chosen = name if apart.count(name) == 1 and name not in inputs else next(n for n in numbered if n not in taken)
        taken.add(chosen)
        found.append(chosen)
    return found


def _returned_names(model: nn.Module) -> dict[Path, str]:
    """The variables in `return output, (h_n, c_n)`: {(0,): "output", (1, 0): "h_n", (1, 1): "c_n"}."""
    if isinstance(model, (nn.RNN, nn.GRU)):
        return {(0,): "output", (1,): "h_n"}
    if isinstance(model, nn.LSTM):
        return {(0,): "output", (1, 0): "h_n", (1, 1): "c_n"}
    try:
        source = textwrap.dedent(inspect.getsource(type(model).forward))
        returns = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Return)]
    except (AttributeError, OSError, TypeError, SyntaxError):  # a script module has its forward by instance alone
        return {}
    return dict(_variables(returns[-1], ())) if returns and returns[-1] is not None else {}


def _variables(node: ast.expr, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(node, ast.Name) and not node.id.startswith("_"):
        yield path, node.id
    elif isinstance(node, (ast.Tuple, ast.List)):
        for i, element in enumerate(node.elts):
            yield from _variables(element, (*path, i))
