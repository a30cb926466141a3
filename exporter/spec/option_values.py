"""Check the values of options, where Python takes anything: kinds of values, and words that have to be known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

from ..errors import InputError, did_you_mean


def check_choice(
    name: str, value: Any, choices: Sequence[str], meant: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Raise an `InputError` unless the value of the option `name` is a known word; `meant` has other words for some."""
    if not isinstance(value, str) or value not in choices:
        near = did_you_mean(meant.get(value, value), choices) if isinstance(value, str) else ""
        raise InputError(f"There is no {name} {value!r}.{near} Choose from {', '.join(choices)}.")


def check_flag(name: str, value: Any) -> None:
    """Raise an `InputError` unless it is True or False."""
    if not isinstance(value, bool):
        raise InputError(f"`{name}` is {_described(value)}. Give True or False.")


def check_whole(name: str, value: Any) -> None:
    """Raise an `InputError` unless it is a whole number."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"`{name}` is {_described(value)}. Give a whole number.")


def check_number(name: str, value: Any) -> None:
    """Raise an `InputError` unless it is a number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"`{name}` is {_described(value)}. Give a number.")


def check_seed(seed: Any) -> None:
    """Raise an `InputError` unless it is a whole number of 32 bits."""
    check_whole("seed", seed)
    if not 0 <= seed < 2**32:
        raise InputError(f"The seed {seed} cannot be used. Give a number from 0 to {2**32 - 1}.")


def check_list(name: str, value: Any) -> None:
    """Raise an `InputError` where a single text was given for a list of such."""
    if isinstance(value, str):
        raise InputError(f"`{name}` is the text {value!r}. Give a list, such as [{value!r}].")


def _described(value: Any) -> str:
    return f"{value!r:.60}, of type {type(value).__name__}"
