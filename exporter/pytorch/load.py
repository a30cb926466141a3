"""Find and build a model: a built-in name, `file.py:Factory`, `package.module:Factory` or a TorchScript archive."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import torch
from msgspec import UNSET
from torch import nn

from ..errors import LoadError, UndescribedInputsError, WeightsError, did_you_mean, first_line, type_in_words
from ..models import VARIANTS
from ..spec.artifact import Source
from ..spec.option_values import check_whole
from ..spec.signature import Signature, TensorSpec
from ..torch_internals.modules import exclusive
from .archive import is_archive, load_archive
from .arguments import check_arguments
from .bind import bind_inputs, forward_signature
from .checkpoint import load_weights
from .evaluation import unwrap
from .proposal import Array, propose_inputs
from .script.pinned import pinned
from .untrained import DrawnTensors


@dataclass(frozen=True)
class Loaded:
    """A built model, its signature, where it came from, and warnings about its weights."""

    model: nn.Module
    signature: Signature
    source: Source
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        count = sum(parameter.numel() for parameter in self.model.parameters())
        return f"<Loaded: {type(self.model).__name__}, {count:,} parameters, {self.signature!r}>"


def load(
    model: str,
    *,
    weights: str | Path | None = None,
    weights_key: str | None = None,
    inputs: Mapping[str, TensorSpec | str] | None = None,
    outputs: Sequence[str] = (),
    example: Mapping[str, Array] | Sequence[Array] | None = None,
    seed: int = 0,
    **arguments: Any,
) -> Loaded:
    """Build a model and find out its signature.

    Args:
        model: a built-in variant's name, `path/to/file.py:Factory` or `package.module:Factory`. The factory is a
            class or function that returns an `nn.Module`, or a module object itself. Loading it runs its code.
            Or the path of a TorchScript archive (.pt, .jit, .ts), of which nothing runs but its model, on tensors.
        weights: a safetensors file, or a PyTorch file that holds nothing but tensors.
        weights_key: the entry of a checkpoint dictionary that holds the tensors.
        inputs: what `forward` takes, by name or in order; not needed where the model has a `signature()` of its own.
        outputs: names for the outputs.
        example: real inputs, by name or in order; inputs that nobody described are proposed to fit it.
        seed: the random seed that the model is built with.
        **arguments: passed to the factory; for an archive, arguments of its forward that are no tensors.

    Raises:
        LoadError: the model cannot be found or built, or an argument does not fit.
        WeightsError: the checkpoint cannot be read or does not fit.
        SignatureError: `inputs` is malformed or does not fit `forward`.
        UndescribedInputsError: there are none, and the model has no `signature()` of its own.
    """
    return load_with(
        model,
        arguments,
        weights=weights,
        weights_key=weights_key,
        inputs=inputs,
        outputs=outputs,
        example=example,
        seed=seed,
    )


def load_with(
    model: str,
    arguments: Mapping[str, Any],
    *,
    weights: str | Path | None = None,
    weights_key: str | None = None,
    inputs: Mapping[str, TensorSpec | str] | None = None,
    outputs: Sequence[str] = (),
    example: Mapping[str, Array] | Sequence[Array] | None = None,
    seed: int = 0,
) -> Loaded:
    """`load` with the factory's arguments apart, whatever they are called: a factory may have a `seed` of its own."""
    check_whole("seed", seed)
    if weights_key is not None and weights is None:
        raise WeightsError("A key names an entry of a checkpoint. Give the checkpoint too, as `weights=PATH`.")
    with _importable(Path.cwd()):
        kind, factory, lookup = _find(model)
    with _importable(lookup), DrawnTensors() as drawn:
        module = _build(model, factory, arguments, seed)
    module = unwrap(module)
    notes = () if weights is None else load_weights(module, Path(weights), weights_key)
    untrained = len(drawn.of(module)) if weights is None else 0
    signature = _signature(model, module, inputs, outputs, example)
    return Loaded(module, signature, Source(kind, model, dict(arguments), seed, untrained=untrained or UNSET), notes)


# Recurrent layers of PyTorch, all of whose arguments are numbers and switches.
_LAYERS = ("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell")
_PLACES = ("torch.nn", "torch.nn.modules.rnn")


def may_be_named(model: str) -> bool:
    """Whether a bundle's manifest may name this model and have it built again: its text is not to be trusted.

    It may name a built-in variant or a recurrent layer of `torch.nn`, and nothing else, installed or not: to import a
    module runs it.
    """
    place, _, attribute = model.rpartition(":")
    return model in VARIANTS or (place in _PLACES and attribute in _LAYERS)


def find_callable(name: str) -> Any:
    """What `file.py:name` or `package.module:name` stands for; its module is run.

    Raises:
        LoadError: it cannot be imported, or there is nothing of that name.
    """
    if ":" not in name:
        raise LoadError(f"'{name}' names no function. Write file.py:make or package.module:make.")
    with _importable(Path.cwd()):
        return _find(name)[1]


def _find(model: str) -> tuple[Literal["builtin", "module", "file", "archive"], Any, Path | None]:
    place, colon, attribute = model.rpartition(":")
    if is_archive(model):
        return "archive", load_archive(Path(model)), None
    if not colon:
        if Path(model).is_file():
            raise LoadError(_file_alone(model))
        if model not in VARIANTS:
            raise LoadError(
                f"There is no built-in model '{model}'.{did_you_mean(model, VARIANTS)} "
                f"Choose one of {', '.join(VARIANTS)}, or give your own as file.py:Factory or as TorchScript, model.pt."
            )
        return "builtin", VARIANTS[model].factory, None
    if not place or (place.startswith(".") and "/" not in place):
        raise LoadError(f"'{model}' names no module. Write file.py:Factory or package.module:Factory.")
    if _is_file(place):
        path = Path(place).resolve()
        return "file", _attribute(_import_file(path), attribute, place), path.parent
    return "module", _attribute(_import_module(place), attribute, place), None


def _file_alone(model: str) -> str:
    """What to say of a file that is given as a model without what is in it."""
    if model.endswith(".py"):
        return f"'{model}' is a file. Name the class or function in it that makes the model too, as {model}:NAME."
    return f"'{model}' is no model, if it is its weights. Give its code, as file.py:Factory, and `weights={model}`."


def _is_file(place: str) -> bool:
    return place.endswith(".py") or os.sep in place


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise LoadError(f"There is no file {path}. Give the path of a Python file, as path/to/file.py:Factory.")
    name = f"_rnn_export_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{path} cannot be imported. Give a Python file whose name ends in .py.")
    module = importlib.util.module_from_spec(spec)
    # TorchScript and dataclasses look a class's module up here.
    sys.modules[name] = module
    with _importable(path.parent), _reporting(str(path), "importing"):
        spec.loader.exec_module(module)
    return module


def _import_module(name: str) -> Any:
    with _reporting(name, "importing"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
                raise LoadError(
                    f"There is no module {name}. Install the package, or give a file as path/to/file.py:Factory."
                ) from error
            raise


def _attribute(module: Any, attribute: str, place: str) -> Any:
    if not hasattr(module, attribute):
        public = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise LoadError(
            f"{place} has no '{attribute}'.{did_you_mean(attribute, public)} Name a class or function that is in it."
        )
    return getattr(module, attribute)


def _build(model: str, factory: Any, arguments: Mapping[str, Any], seed: int) -> nn.Module:
    if isinstance(factory, torch.jit.ScriptModule) and arguments:
        return pinned(factory, arguments)
    if isinstance(factory, nn.Module) and arguments:
        raise LoadError(f"{model} is a model already and takes no arguments. Name its class to pass some.")
    if isinstance(factory, nn.Module):
        return factory
    if not callable(factory):
        raise LoadError(f"{model} is {type_in_words(factory)}. Name a class or function that returns an nn.Module.")
    checked = check_arguments(factory, arguments)
    with _reporting(model, "building"):
        torch.manual_seed(seed)
        built = factory(**checked)
    if not isinstance(built, nn.Module):
        raise LoadError(f"{model} returned {type_in_words(built)}. It must return an nn.Module.")
    return built


def _signature(
    model: str,
    module: nn.Module,
    inputs: Mapping[str, TensorSpec | str] | None,
    outputs: Sequence[str],
    example: Mapping[str, Array] | Sequence[Array] | None,
) -> Signature:
    own = getattr(module, "signature", None)
    if inputs:
        signature = Signature(inputs, outputs)
    elif callable(own) and isinstance(found := own(), Signature):
        signature = found.with_outputs(outputs) if outputs else found
    else:
        raise _undescribed(model, module, example)
    bind_inputs(module, signature.inputs)
    return signature


def _undescribed(
    model: str, module: nn.Module, example: Mapping[str, Array] | Sequence[Array] | None
) -> UndescribedInputsError:
    takes = ", ".join(forward_signature(module)[0].parameters)
    says = f"{model} does not say what goes in: its forward takes ({takes})."
    proposal = propose_inputs(module, example)
    if proposal is None:
        return UndescribedInputsError(f'{says} Describe each input, such as `inputs={{"x": "float32[T, N, 100]"}}`.')
    described = ", ".join(f'"{name}": "{spec}"' for name, spec in proposal.items())
    return UndescribedInputsError(f"{says} It runs with `inputs={{{described}}}`; give that if it is right.", proposal)


def _importable(folder: Path | None) -> AbstractContextManager[None]:
    """Let a user's file import its neighbours, as Python does for a script."""
    return _search_path(sys.path if folder is None else [str(folder), *sys.path])


@contextmanager
def _search_path(entries: Sequence[str]) -> Iterator[None]:
    """Import from these within the block; exclusive, as are standard output and the random seed within it.

    What the user's code adds to the path itself stays: its `forward` may import from there, too.
    """
    with exclusive():
        before = list(sys.path)
        sys.path[:] = entries
        try:
            yield
        finally:
            first = [*takewhile(lambda entry: entry not in entries, sys.path)]
            last = [entry for entry in sys.path[len(first) :] if entry not in entries]
            sys.path[:] = [*first, *before, *last]


@contextmanager
def _reporting(what: str, doing: str) -> Iterator[None]:
    """Turn whatever a user's code raises into one sentence."""
    try:
        # What a model prints while it is built does not belong among our results.
        with redirect_stdout(sys.stderr):
            yield
    except LoadError:
        raise
    except (Exception, SystemExit) as error:
        raise LoadError(
            f"{doing.capitalize()} {what} raised {type(error).__name__}: {first_line(error)}. Fix that first."
        ) from error
