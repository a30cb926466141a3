"""Read `key=value` settings and check them against a model factory's parameters."""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import LoadError, did_you_mean

_WORDS = {"true": True, "false": False, "none": None}


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` pairs; a value is a Python literal (`64,64` is a tuple), or else a string.

    Raises:
        LoadError: a setting is not of that form.
    """
    arguments: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip().isidentifier():
            raise LoadError(f"'{setting}' is not a setting. Write it as key=value, such as hidden_size=64.")
        arguments[key.strip()] = _literal(value.strip())
    return arguments


def check_arguments(factory: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Check names and annotated types against the factory's parameters; returns the values to call it with.

    A single value is accepted where a tuple or list is wanted.

    Raises:
        LoadError: an argument is unknown, missing, or of another type than its annotation.
    """
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return dict(arguments)
    named = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        _check_names(arguments, named)
    missing = [
        name for name, parameter in named.items() if parameter.default is parameter.empty and name not in arguments
    ]
    if missing:
        raise LoadError(f"The model needs a value for {missing[0]}. Pass `{missing[0]}=VALUE`.")
    hints = _hints(factory)
    return {name: _fit(name, value, hints.get(name, Any)) for name, value in arguments.items()}


def _check_names(arguments: Mapping[str, Any], named: Mapping[str, Any]) -> None:
    for name in arguments:
        if name not in named:
            takes = f"It takes {', '.join(named)}." if named else "It takes none."
            raise LoadError(f"The model has no argument '{name}'.{did_you_mean(name, named)} {takes}")


def _literal(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(inspect.getattr_static(factory, "__init__") if isinstance(factory, type) else factory)
    except (NameError, TypeError, AttributeError):
        return {}


def _fit(name: str, value: Any, hint: Any) -> Any:
    origin = get_origin(hint)
    if origin in (tuple, list) and not isinstance(value, (tuple, list)):
        value = (value,)
    if origin in (tuple, list):
        value = origin(value)
    if not _matches(value, hint):
        raise LoadError(f"{name}={value!r} does not fit. It must be {describe(hint)}.")
    return value


def _matches(value: Any, hint: Any) -> bool:
    origin, options = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in options
    if origin in (Union, types.UnionType):
        return any(_matches(value, option) for option in options)
    if origin is tuple and Ellipsis not in options:
        return len(value) == len(options) and all(map(_matches, value, options))
    if origin in (tuple, list):
        return all(_matches(item, options[0]) for item in value)
    # A bool is an int to Python, and an int is a number wherever a float is wanted.
    accepted = {int: (int,), float: (int, float), bool: (bool,), str: (str,), type(None): (type(None),)}.get(hint)
    return accepted is None or (isinstance(value, accepted) and isinstance(value, bool) == (hint is bool))


def describe(hint: Any) -> str:
    """An annotation in words a user can act on."""
    origin, options = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(str, options))
    if origin in (Union, types.UnionType):
        return " or ".join(describe(option) for option in options)
    if origin in (tuple, list) and options:
        return f"values separated by commas, each {describe(options[0])}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}
    return words.get(hint, str(getattr(hint, "__name__", hint)))
