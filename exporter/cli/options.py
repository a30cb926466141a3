"""Options that several commands share, and what they are read into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from .settings_file import read_settings

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def parse_sizes(text: str) -> dict[str, int]:
    """Sizes of dimensions, from text such as `T=35,N=32`."""
    from ..errors import InputError

    sizes = {}
    for part in text.split(","):
        name, equals, size = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not size.isdecimal():
            raise InputError(f"'{text}' gives no sizes. Write a number for each dimension, such as 'T=1,N=1'.")
        if name in sizes:
            raise InputError(f"'{text}' gives {name} twice. Give every dimension one size.")
        sizes[name] = int(size)
    return sizes


def parse_option(text: str) -> tuple[str, str]:
    """An execution provider's option, from text such as `use_tf32=1`."""
    from ..errors import InputError

    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"'{text}' is no option of an execution provider. Write it as KEY=VALUE, such as use_tf32=1.")
    return key.strip(), value.strip()


def parse_metadata(texts: Sequence[str]) -> dict[str, str]:
    """Entries of a file's metadata, from texts such as `num_encoder_layers=4`."""
    from ..errors import InputError

    entries: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"'{text}' is no entry of metadata. Write it as KEY=VALUE, such as vocab_size=500.")
        if key in entries:
            raise InputError(f"The metadata '{key}' is given twice. Give every key one value.")
        entries[key] = value
    return entries


class Word(click.Choice[str]):
    """One of some words, which the shell completes; the library says of any other what was meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What to export and where to."""
    for option in reversed(_MODEL_OPTIONS):
        command = option(command)
    return command


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How to print."""
    for option in reversed(_OUTPUT_OPTIONS):
        command = option(command)
    return command


def precision_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What weights are turned into, and what that may cost."""
    for option in reversed(_PRECISION_OPTIONS):
        command = option(command)
    return command


def _from_settings(ctx: click.Context, parameter: click.Parameter, named: str | None) -> str | None:
    """Take a model that a settings file names from there: its options become the command's defaults."""
    settings = read_settings()
    if named is None or settings is None or named not in settings.models:
        return named
    ctx.default_map = settings.defaults(named, ctx.command)
    return None if "model" in ctx.default_map else named


def _complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from ..models import VARIANTS

    names = [name for name in VARIANTS if name.startswith(incomplete)]
    return [*map(CompletionItem, names), CompletionItem(incomplete, type="file")]


_MODEL_OPTIONS: Sequence[Decorator] = (
    click.argument(
        "named", metavar="[MODEL]", required=False, is_eager=True, callback=_from_settings, shell_complete=_complete
    ),
    click.option(
        "--model",
        metavar="MODEL",
        shell_complete=_complete,
        help="A built-in variant, file.py:Factory, package.module:Factory, or a TorchScript archive (.pt, .jit, .ts).",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="An argument of the model: hidden_size=64 or widths=64,64. Repeatable.",
    ),
    click.option(
        "--weights",
        type=click.Path(path_type=Path),
        help="A checkpoint: safetensors, a folder of them, or a PyTorch file. Nothing is unpickled.",
    ),
    click.option("--weights-key", metavar="KEY", help="The entry of a checkpoint that holds the tensors."),
    click.option(
        "--input",
        "inputs",
        multiple=True,
        metavar="SPEC",
        help="'x: float32[N, T, 100]' or 'tokens: int64[N, T] in 0..27': a name in brackets is a dynamic size. "
        "Repeatable, by name or in the order of forward's arguments. Where none is given, one is proposed.",
    ),
    click.option(
        "--example",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Real inputs, by name or in order: .npz, .npy, .safetensors or .pt. Cases are cut from them.",
    ),
    click.option("--output", "outputs", multiple=True, metavar="NAME", help="A name for an output. Repeatable."),
    click.option(
        "--state",
        "states",
        multiple=True,
        metavar="IN=OUT",
        help="An input that is a state, and the output that continues it: h0=h_n. Repeatable.",
    ),
    click.option(
        "--make-cases",
        "cases",
        metavar="MAKE",
        help="A function, file.py:make, for inputs that depend on one another: make(sizes, seed) returns an array for "
        "each.",
    ),
    click.option("--out", type=click.Path(path_type=Path), help="The bundle's folder.  [default: artifacts/MODEL]"),
    click.option("--no-verify", is_flag=True, help="Write the bundle without comparing it with PyTorch."),
    click.option(
        "--accept",
        multiple=True,
        type=click.Choice(["unverified", "fixed-decision"]),
        metavar="FINDING",
        help="Export all the same where no case shows whether the file is right (unverified), or where a trace took "
        "one branch for all inputs (fixed-decision). The manifest records it. Repeatable.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        metavar="SEED",
        default=0,
        help="For random weights and for the test cases.  [default: 0]",
    ),
    click.option("--cases", "table", is_flag=True, help="Show a row for every case, with its error and its limit."),
)

_OUTPUT_OPTIONS: Sequence[Decorator] = (
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    click.option("--quiet", is_flag=True, help="Print nothing unless something is wrong, or weights are untrained."),
    click.option("--debug", is_flag=True, help="Show where an error comes from."),
)


_PRECISION_OPTIONS: Sequence[Decorator] = (
    click.option(
        "--precision",
        type=Word(["float16", "bfloat16"]),
        metavar="DTYPE",
        help="float16: the model in float16, with float16 in and out. bfloat16 is refused, with the reason.",
    ),
    click.option(
        "--max-error",
        type=float,
        metavar="E",
        help="What smaller weights may cost, relative to each output's scale.  "
        "[default: 0.09 for int8, 0.004 for float16]",
    ),
)
