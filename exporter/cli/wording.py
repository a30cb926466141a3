"""What the library says about a Python argument, as the command line says it: `stateful=True` is --stateful.

The library puts its own arguments between backticks, so that what a user's code says is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import click

# `name`, `name=True`, `name="value"`, `name=["value"]`, `name=PLACEHOLDER`
_ARGUMENT = re.compile(r"""`(\w+)(?:=(?:(True|False)|\[?"([^"`]*)"\]?|'([^'`]*)'|([\w:.]+)))?`""")
_INPUTS = re.compile(r"`inputs=\{([^`]*)\}`")
_INPUT = re.compile(r'"([\w.]+)": "([^"]+)"')
_SETTING = re.compile(r"Pass `(\w+=VALUE)`")


def in_options(message: str, command: click.Command | None = None) -> str:
    """The message with a command's options in place of Python's arguments; by default those of the running command."""
    context = click.get_current_context(silent=True)
    command = command or (context.command if context is not None else None)
    if command is None:
        return message
    options = {str(each.name): each.opts[-1] for each in command.params if isinstance(each, click.Option)}
    message = _INPUTS.sub(lambda match: _inputs(match[1]), message)
    message = _SETTING.sub(r"Give it with --set \1", message)
    message = _ARGUMENT.sub(lambda match: _option(match, options), message)
    return message.replace("Fix that first.", "Fix that first; --debug shows where.")


def _inputs(described: str) -> str:
    return " ".join(f"--input '{name}: {spec}'" for name, spec in _INPUT.findall(described))


def _option(match: re.Match[str], options: Mapping[str, str]) -> str:
    name, flag, *values = match.groups()
    value = next((value for value in values if value is not None), None)
    if flag == "False" and f"no_{name}" in options:
        return options[f"no_{name}"]
    if name not in options or flag == "False":
        return match[0]
    return options[name] if value is None else f"{options[name]} {value}"
