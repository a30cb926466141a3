"""What docs/reference/commands.md says of the command line, written from the commands themselves: `make commands`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from rnn_export.cli.main import main

PAGE = Path(__file__).parent / "commands.md"
BEGIN, END = "<!-- written by make commands -->\n", "<!-- end -->\n"

# Options of every command, which the page explains once.
EVERYWHERE = ("json", "quiet", "debug", "help")

# Commands that take a model share its options, which stand under the first of them.
EXPORTS = ("onnx", "torchscript")


def describe_commands() -> str:
    """A section for each command: what it does, what is typed, its options."""
    shared = _shared([main.commands[name] for name in EXPORTS])
    return "\n".join(
        _section(name, command, shared if name == EXPORTS[1] else ()) for name, command in main.commands.items()
    )


def _shared(commands: Sequence[click.Command]) -> set[str]:
    first, *others = ({_spelled(option) for option in _options(command)} for command in commands)
    return first.intersection(*others)


def _section(name: str, command: click.Command, elsewhere: Iterable[str]) -> str:
    context = click.Context(command, info_name=f"rnn-export {name}", parent=click.Context(main))
    usage = " ".join([f"rnn-export {name}", *command.collect_usage_pieces(context)])
    lines = [f"## {name}\n", f"    {usage}\n", f"{_prose(command)}\n"]
    options = [option for option in _options(command) if _spelled(option) not in elsewhere]
    if options:
        rows = [_row(option, context) for option in options]
        lines += ["| option | what it does |", "| --- | --- |", *rows, ""]
    if elsewhere:
        lines += [f"The other options are those of [{EXPORTS[0]}](#{EXPORTS[0]}).", ""]
    return "\n".join(lines)


def _options(command: click.Command) -> list[click.Option]:
    """Those of the command's own, in its order."""
    options = [each for each in command.params if isinstance(each, click.Option)]
    return [option for option in options if _spelled(option).removeprefix("--") not in EVERYWHERE]


def _spelled(option: click.Option) -> str:
    return option.opts[-1]


def _row(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    assert record is not None, option.name
    spelled, what = (" ".join(text.split()).replace("|", "\\|") for text in record)
    what = re.sub(r"\[(?=\S)", r"\[", what)  # no link
    return f"| `{spelled}` | {what} |"


def _prose(command: click.Command) -> str:
    """The help without its examples, which begin with click's mark for text that keeps its lines."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(text for text in paragraphs if not text.startswith("\b"))


def page() -> str:
    """docs/reference/commands.md with its sections written anew."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + "\n" + describe_commands() + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
