"""Options of models that are exported again and again: `rnn-export.toml`, or `[tool.rnn-export]` in pyproject.toml.

A table is a model's: its keys are the long options of the command, without dashes. `rnn-export onnx NAME` takes them
from there, and whatever is given on the command line goes before them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..errors import InputError, did_you_mean

FILES = ("rnn-export.toml", "pyproject.toml")


@dataclass(frozen=True)
class SettingsFile:
    """Where the settings stand, and a table of options for each name."""

    path: str
    models: Mapping[str, Mapping[str, Any]]

    def defaults(self, name: str, command: click.Command) -> dict[str, Any]:
        """The options of one model, by the names of the command's parameters; those of other commands are left out.

        Raises:
            InputError: there is no such option.
        """
        own = {
            option.opts[-1].removeprefix("--"): option for option in command.params if isinstance(option, click.Option)
        }
        given = {"out": f"artifacts/{name}", **self.models[name]}
        found: dict[str, Any] = {}
        for key, value in given.items():
            if key in own:
                found[str(own[key].name)] = _value(own[key], value)
            elif key not in _OTHERS:
                raise InputError(
                    f"{self.path} gives '{key}' for {name}.{did_you_mean(key, own)} It takes {', '.join(own)}."
                )
        if "model" not in self.models[name]:
            raise InputError(f"{self.path} has no 'model' for {name}. Say there which one it is.")
        return found


# Options that `onnx` has and `torchscript` has not, and the other way round.
_OTHERS = ("opset", "stateful", "quantize", "lowering", "target", "tune", "metadata", "state_names", "method")


def _value(option: click.Option, value: Any) -> Any:
    """A value of TOML as it would be typed: a table is `KEY=VALUE` for each key, one string a list of one."""
    if isinstance(value, Mapping):
        value = [f"{key}={_typed(each)}" for key, each in value.items()]
    return [value] if option.multiple and not isinstance(value, list) else value


def _typed(value: Any) -> str:
    return ",".join(map(_typed, value)) if isinstance(value, list) else str(value)


def read_settings() -> SettingsFile | None:
    """What the working folder's file says; None where there is none.

    Raises:
        InputError: a file is not TOML, or holds something else than tables.
    """
    for name in FILES:
        if (found := _tables(Path(name))) is not None:
            return SettingsFile(name, found)
    return None


def _tables(path: Path) -> Mapping[str, Mapping[str, Any]] | None:
    if not path.is_file():
        return None
    try:
        content: Any = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        if path.name == "pyproject.toml":  # somebody else's file, of which nothing is asked here
            return None
        raise InputError(f"{path} is not TOML: {error}. Mend it there.") from error
    if path.name == "pyproject.toml":
        content = content.get("tool", {}).get("rnn-export")
    if content is None:
        return None
    stray = [key for key, value in content.items() if not isinstance(value, Mapping)]
    if stray:
        raise InputError(
            f"{path} gives '{stray[0]}' for no model. Put it in a table of the model's name, such as [mine]."
        )
    tables: Mapping[str, Mapping[str, Any]] = content
    return tables
