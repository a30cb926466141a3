"""What the library says about a Python argument, as the command line says it: stateful=True is --stateful."""

from __future__ import annotations

import re
from collections.abc import Mapping

import click

# name=True, name="value", name=NUMBER, name=PLACEHOLDER
_ARGUMENT = re.compile(r"""\b(\w+)=(?:(True|False)\b|["']([^"']*)["']|([A-Z][A-Z:.]+\b|\d[\d.]*))""")
_INPUT = re.compile(r'inputs=\{"([\w.]+)": "([^"]+)"\}')
_SETTING = re.compile(r"\bPass (\w+=VALUE)")


def in_options(message: str, ctx: click.Context) -> str:
    """The message with the options of the command that is running in place of Python's arguments."""
    group = ctx.command
    command = group.commands.get(ctx.invoked_subcommand or "") if isinstance(group, click.Group) else None
    if command is None:
        return message
    options = {str(each.name): each.opts[-1] for each in command.params if isinstance(each, click.Option)}
    message = _INPUT.sub(r"--input '\1: \2'", message)
    message = _SETTING.sub(r"Give it with --set \1", message)
    message = _ARGUMENT.sub(lambda match: _option(match, options), message)
    message = re.sub(r"\bmax_error\b", "--max-error", message) if "max_error" in options else message
    return message.replace("Fix that first.", "Fix that first; --debug shows where.")


def _option(match: re.Match[str], options: Mapping[str, str]) -> str:
    name, flag, text, value = match.groups()
    if flag == "False" and f"no_{name}" in options:
        return options[f"no_{name}"]
    if name not in options or flag == "False":
        return match[0]
    return options[name] if flag else f"{options[name]} {text if text is not None else value}"
