"""Bind named tensors to the arguments of a model's forward.

An input goes to the argument of its own name, keyword-only ones included, so that others may be left out. Unmatched
inputs are assigned to the free positional arguments by position. Parts of a nested argument have dotted names: `hx.0`
and `hx.1` are a tuple (a list, if forward is annotated so), `batch.tokens` and `batch.mask` a dictionary, or the
NamedTuple or dataclass of forward's annotation.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import types
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

import torch
from torch import nn

from ..errors import LoadError, SignatureError, did_you_mean
from ..torch_internals.modules import is_pytree_node, scripted_arguments, tree_leaves

# The parts of an argument by key; the leaves are names of inputs.
Tree: TypeAlias = "str | dict[str, Tree]"
# How like an argument's name, of 1, another name is that was meant to be it: 'lenght' for 'lengths' is 0.77.
_NEAR = 0.75
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class InputBinding:
    """The arguments that named tensors go to. `takes` is forward's signature, `hints` its annotations.

    `named` has the inputs of each argument, `rest` those that `*args` takes.
    """

    takes: inspect.Signature
    hints: Mapping[str, Any]
    named: Mapping[str, Tree]
    rest: tuple[str, ...]

    def arguments(self, tensors: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """These tensors as positional and keyword arguments."""
        values = {name: _value(tree, self.hints.get(name), tensors) for name, tree in self.named.items()}
        in_order = OrderedDict(self._in_order(values, [tensors[name] for name in self.rest]))
        bound = inspect.BoundArguments(self.takes, in_order)
        return bound.args, bound.kwargs

    def order(self) -> list[str]:
        """The names of the inputs in the order in which PyTorch flattens the arguments."""
        names = {name for tree in self.named.values() for name in _leaves(tree)} | set(self.rest)
        return [leaf for leaf in tree_leaves(self.arguments({name: name for name in names})) if leaf in names]

    def is_plain(self, names: Iterable[str]) -> bool:
        """Whether these inputs, in this order, are forward's positional arguments."""
        args, kwargs = self.arguments({name: name for name in names})
        return not kwargs and args == tuple(names)

    def _in_order(self, values: dict[str, Any], rest: list[Any]) -> Iterator[tuple[str, Any]]:
        """Every argument that gets a value, in forward's order."""
        extra = {name: value for name, value in values.items() if name not in self.takes.parameters}
        for name, parameter in self.takes.parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                yield name, tuple(rest)
            elif parameter.kind is parameter.VAR_KEYWORD:
                yield name, extra
            elif name in values:
                yield name, values[name]
            elif rest and parameter.default is not parameter.empty:
                # An argument before *args cannot be skipped.
                yield name, parameter.default


def bind_inputs(model: nn.Module, names: Iterable[str]) -> InputBinding:
    """Find the argument for each input.

    Raises:
        SignatureError: the inputs do not fit forward.
    """
    takes, hints = forward_signature(model)
    names = list(names)
    roots = {name: name.partition(".")[0] for name in names}
    matched = [name for name in names if _is_argument(takes, roots[name])]
    named: dict[str, Tree] = _grow(matched)
    rest = [name for name in names if name not in matched]
    free = [name for name, found in takes.parameters.items() if found.kind in _POSITIONAL and name not in named]
    _check_spelling(model, rest, free)
    positional = dict(zip(free, rest, strict=False))
    beyond = rest[len(positional) :]
    kinds = {parameter.kind for parameter in takes.parameters.values()}
    if beyond and inspect.Parameter.VAR_POSITIONAL not in kinds and inspect.Parameter.VAR_KEYWORD in kinds:
        named, beyond = {**named, **_grow(beyond)}, []
    binding = InputBinding(takes, hints, {**named, **positional}, tuple(beyond))
    if not _fits(binding, kinds):
        raise _misfit(model, names, takes)
    for name, tree in binding.named.items():
        _check(name, tree, hints.get(name))
    return binding


def _check_spelling(model: nn.Module, names: Iterable[str], free: Sequence[str]) -> None:
    """Refuse a name that is nearly an argument's, which somebody misspelt, rather than chose."""
    for name in names:
        argument = _nearest(name, free)
        if argument is not None:
            raise SignatureError(
                f"forward of {type(model).__name__} has no argument '{name}'. Did you mean '{argument}'?"
            )


def _nearest(name: str, free: Sequence[str]) -> str | None:
    """The argument that a name was meant to be: one of nearly, or in another order exactly, the same letters."""
    word, known = name.lower(), {each.lower(): each for each in free}
    # Of a short word with two letters changed over, 'mle' for 'mel', too little is alike.
    near = [each for each in known if sorted(each) == sorted(word)]
    near = near or difflib.get_close_matches(word, list(known), n=1, cutoff=_NEAR)
    return known[near[0]] if near else None


def _is_argument(takes: inspect.Signature, name: str) -> bool:
    found = takes.parameters.get(name)
    return found is not None and found.kind in (*_POSITIONAL, inspect.Parameter.KEYWORD_ONLY)


def _fits(binding: InputBinding, kinds: set[Any]) -> bool:
    needed = {
        name
        for name, parameter in binding.takes.parameters.items()
        if parameter.default is parameter.empty and parameter.kind in (*_POSITIONAL, parameter.KEYWORD_ONLY)
    }
    return needed <= binding.named.keys() and (not binding.rest or inspect.Parameter.VAR_POSITIONAL in kinds)


def _misfit(model: nn.Module, names: list[str], takes: inspect.Signature) -> SignatureError:
    given = f"input ({names[0]}) does" if len(names) == 1 else f"{len(names)} inputs ({', '.join(names)}) do"
    return SignatureError(
        f"The {given} not fit {type(model).__name__}, whose forward takes ({', '.join(takes.parameters)}). Name each "
        "input after its argument, or give them in order; the parts of a tuple hx are hx.0 and hx.1, those of a "
        "dictionary batch are batch.KEY."
    )


def forward_signature(model: nn.Module) -> tuple[inspect.Signature, Mapping[str, Any]]:
    if isinstance(model, torch.jit.ScriptModule):
        return _scripted(model), {}
    try:
        takes = inspect.signature(model.forward)
    except (TypeError, ValueError):
        return inspect.Signature([inspect.Parameter("tensors", inspect.Parameter.VAR_POSITIONAL)]), {}
    try:
        return takes, get_type_hints(model.forward)
    except (NameError, TypeError, AttributeError):
        return takes, {}


def _scripted(model: torch.jit.ScriptModule) -> inspect.Signature:
    """The signature that TorchScript records of forward, without self."""
    arguments = scripted_arguments(model)
    if arguments is None:
        raise LoadError(
            "The scripted module has no forward that can be called, here or in PyTorch: it was a layer of PyTorch "
            "such as nn.GRU. Script a module of yours that calls it."
        )
    kinds = {True: inspect.Parameter.KEYWORD_ONLY, False: inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return inspect.Signature(
        [
            inspect.Parameter(
                argument.name,
                kinds[argument.kwarg_only],
                default=argument.default_value if argument.has_default_value() else inspect.Parameter.empty,
            )
            for argument in arguments
        ]
    )


def _grow(names: Iterable[str]) -> dict[str, Tree]:
    """`["x", "hx.0", "hx.1"]` as `{"x": "x", "hx": {"0": "hx.0", "1": "hx.1"}}`."""
    grown: dict[str, Tree] = {}
    for name in names:
        *path, last = name.split(".")
        place = grown
        for key in path:
            inner = place.setdefault(key, {})
            if isinstance(inner, str):
                raise SignatureError(f"'{inner}' is an input and cannot have the part '{name}'. Leave one of them out.")
            place = inner
        if last in place:
            raise SignatureError(f"'{name}' has parts and cannot be an input itself. Leave it out.")
        place[last] = name
    return grown


def _leaves(tree: Tree) -> list[str]:
    return [tree] if isinstance(tree, str) else [leaf for part in tree.values() for leaf in _leaves(part)]


def _check(name: str, tree: Tree, hint: Any) -> None:
    """Check the parts of an argument, and register a dataclass with PyTorch.

    Raises:
        SignatureError: parts are numbered with gaps, or the annotated class does not have them, or needs more.
    """
    if isinstance(tree, str):
        return
    kind = _container(hint, tree)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and not is_pytree_node(kind):
        torch.export.register_dataclass(kind)
    if kind in (tuple, list) and set(tree) != {str(i) for i in range(len(tree))}:
        raise SignatureError(f"'{name}' has the parts {', '.join(tree)}. Number them from 0, without gaps.")
    fields = _fields(kind)
    for key in tree:
        if fields and key not in fields and not (key.isdigit() and int(key) < len(fields)):
            raise SignatureError(
                f"'{name}.{key}' is no part of {kind.__name__}.{did_you_mean(key, fields)} It has {', '.join(fields)}."
            )
    missing = [field for field, needed in fields.items() if needed and field not in _by_field(fields, tree)]
    if missing:
        raise SignatureError(f"'{name}' lacks {missing[0]}. Describe '{name}.{missing[0]}' too.")
    for key, part in _by_field(fields, tree).items():
        _check(f"{name}.{key}", part, _part_hint(hint, kind, key))


def _value(tree: Tree, hint: Any, tensors: Mapping[str, Any]) -> Any:
    if isinstance(tree, str):
        return tensors[tree]
    kind = _container(hint, tree)
    parts = {
        key: _value(part, _part_hint(hint, kind, key), tensors) for key, part in _by_field(_fields(kind), tree).items()
    }
    if kind in (tuple, list):
        return kind(parts[str(i)] for i in range(len(parts)))
    return parts if kind is dict else kind(**parts)


def _container(hint: Any, tree: Mapping[str, Tree]) -> Any:
    """The class for these parts: the annotated one, else a tuple if the keys are numbers and a dictionary if not."""
    for option in _options(hint):
        kind = get_origin(option) or option
        if isinstance(kind, type) and (_fields(kind) or kind in (list, dict)):
            return kind
    return tuple if all(key.isdigit() for key in tree) else dict


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _fields(kind: Any) -> dict[str, bool]:
    """The fields of a NamedTuple or dataclass, and whether each has no default."""
    if dataclasses.is_dataclass(kind):
        empty = dataclasses.MISSING
        return {
            field.name: field.default is empty and field.default_factory is empty for field in dataclasses.fields(kind)
        }
    defaults = getattr(kind, "_field_defaults", {})
    return {name: name not in defaults for name in getattr(kind, "_fields", ())}


def _by_field(fields: Mapping[str, bool], tree: Mapping[str, Tree]) -> dict[str, Tree]:
    """The parts by field name, also those that are given by number."""
    names = list(fields)
    return {names[int(key)] if key.isdigit() and fields else key: part for key, part in tree.items()}


def _part_hint(hint: Any, kind: Any, key: str) -> Any:
    if _fields(kind):
        try:
            return get_type_hints(kind).get(key)
        except (NameError, TypeError):
            return None
    inner = next((get_args(option) for option in _options(hint) if get_origin(option) is kind), ())
    if kind is tuple and len(inner) > int(key) and Ellipsis not in inner:
        return inner[int(key)]
    return inner[-1 if kind is dict else 0] if inner else None
