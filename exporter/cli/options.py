"""Options that several commands share, and what they are read into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..pytorch.load import Loaded
    from ..spec.artifact import Source


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class ModelChoice:
    """Which model, and how to build it, as given on the command line."""

    model: str
    settings: Sequence[str]
    weights: Path | None
    weights_key: str | None
    inputs: Sequence[str]
    outputs: Sequence[str]
    states: Sequence[str]
    seed: int

    def load(self) -> Loaded:
        """Build the model."""
        from ..errors import SignatureError
        from ..pytorch.arguments import parse_settings
        from ..pytorch.load import load_with
        from ..spec.signature import Signature, parse_input, parse_state

        parsed = [parse_input(text) for text in self.inputs]
        names = [name for name, _ in parsed]
        for name in names:
            if names.count(name) > 1:
                raise SignatureError(f"The input '{name}' is described twice. Give every input its own name.")
        loaded = load_with(
            self.model,
            parse_settings(self.settings),
            weights=self.weights,
            weights_key=self.weights_key,
            inputs=dict(parsed),
            outputs=[name.strip() for text in self.outputs for name in text.split(",")],
            seed=self.seed,
        )
        states = {**loaded.signature.states, **dict(map(parse_state, self.states))}
        signature = Signature(loaded.signature.inputs, loaded.signature.outputs, states)
        return replace(loaded, signature=signature)


def bundle_folder(out: Path | None, source: Source) -> Path:
    """Where the bundle goes: `--out`, or `artifacts/` and the model's name."""
    return out or Path("artifacts") / source.name


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


_MODEL_OPTIONS: Sequence[Decorator] = (
    click.argument("named", metavar="[MODEL]", required=False),
    click.option(
        "--model",
        metavar="MODEL",
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
    click.option("--quiet", is_flag=True, help="Print nothing unless something is wrong."),
    click.option("--debug", is_flag=True, help="Show where an error comes from."),
)


def choice(arguments: dict[str, Any]) -> ModelChoice:
    """Take the options of `model_options` that build a model out of a command's arguments."""
    named, model = arguments.pop("named"), arguments.pop("model")
    if named is not None and model is not None:
        raise click.UsageError(f"Two models are given: '{named}' and --model {model}. Leave one out.")
    if named is None and model is None:
        raise click.UsageError(
            "No model is given. Name a built-in variant, such as hetero, which `rnn-export models` lists, or your own "
            "as file.py:Factory."
        )
    names = ("settings", "weights", "weights_key", "inputs", "outputs", "states", "seed")
    return ModelChoice(named or model, **{name: arguments.pop(name) for name in names})


_PRECISION_OPTIONS: Sequence[Decorator] = (
    click.option(
        "--precision",
        type=click.Choice(["float16", "bfloat16"]),
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
