"""The model that a command line names: which, how to build it, and what goes in, asked for where nobody said."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import SignatureError, UndescribedInputsError
from .console import progress
from .settings_file import read_settings

if TYPE_CHECKING:
    from ..pytorch.load import Loaded
    from ..pytorch.request import Example
    from ..spec.artifact import Source
    from ..spec.signature import TensorSpec


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
    example: Path | None
    seed: int

    def load(self, silent: bool) -> tuple[Loaded, Example | None]:
        """Build the model, and read its example.

        Where nobody says what goes in, a person at a terminal is asked whether the proposal is right; without one it is
        an error that holds the proposal.
        """
        try:
            with progress(silent):
                return self._load(self._described())
        except UndescribedInputsError as error:
            if error.proposal is None or silent or not (sys.stdin.isatty() and sys.stderr.isatty()):
                raise
            described = "\n".join(f"    {name}: {spec}" for name, spec in error.proposal.items())
            click.echo(f"Nobody said what goes in. The model runs with\n{described}", err=True)
            if not _confirmed():
                raise
            proposed = error.proposal
        with progress(silent):
            return self._load(proposed)

    def _described(self) -> dict[str, TensorSpec]:
        from ..spec.signature import parse_input

        parsed = [parse_input(text) for text in self.inputs]
        names = [name for name, _ in parsed]
        for name in names:
            if names.count(name) > 1:
                raise SignatureError(f"The input '{name}' is described twice. Give every input its own name.")
        return dict(parsed)

    def _load(self, inputs: Mapping[str, TensorSpec | str]) -> tuple[Loaded, Example | None]:
        from ..pytorch.arguments import parse_settings
        from ..pytorch.example_files import read_example
        from ..pytorch.load import load_with
        from ..spec.signature import Signature, parse_state

        example = None if self.example is None else read_example(self.example)
        loaded = load_with(
            self.model,
            parse_settings(self.settings),
            weights=self.weights,
            weights_key=self.weights_key,
            inputs=inputs,
            outputs=[name.strip() for text in self.outputs for name in text.split(",")],
            example=example,
            seed=self.seed,
        )
        states = {**loaded.signature.states, **dict(map(parse_state, self.states))}
        signature = Signature(loaded.signature.inputs, loaded.signature.outputs, states)
        return replace(loaded, signature=signature), example


def _confirmed() -> bool:
    """The answer; an end of input is a no."""
    try:
        return click.confirm("Is that right?", default=True, err=True)
    except click.Abort:
        return False


def choose_model(arguments: dict[str, Any]) -> ModelChoice:
    """Take what builds a model out of a command's arguments."""
    named, model = arguments.pop("named"), arguments.pop("model")
    if named is not None and model is not None:
        raise click.UsageError(f"Two models are given: '{named}' and --model {model}. Leave one out.")
    if named is None and model is None:
        settings = read_settings()
        listed = f", or one of {settings.path}: {', '.join(settings.models)}" if settings else ""
        raise click.UsageError(
            "No model is given. Name a built-in variant, such as hetero, which `rnn-export models` lists, or your own "
            f"as file.py:Factory{listed}."
        )
    names = ("settings", "weights", "weights_key", "inputs", "outputs", "states", "example", "seed")
    return ModelChoice(named or model, **{name: arguments.pop(name) for name in names})


def bundle_folder(out: Path | None, source: Source) -> Path:
    """Where the bundle goes: `--out`, or `artifacts/` and the model's name."""
    return out or Path("artifacts") / source.name
