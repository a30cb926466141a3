"""A pipeline as a TOML file says it: the model, its parts, the wiring, and when decoding ends."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec import Struct, ValidationError
from torch import nn

from ..errors import InputError, LoadError, first_line
from ..pytorch.checkpoint import load_weights
from ..pytorch.load import find_callable
from ..spec.options import OnnxOptions
from ..spec.pipeline import Text, Transducer
from .export import ExportedPipeline, export_pipeline
from .parts import Part, part_of


class _Graph(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    states: dict[str, str] = {}
    part: str | None = None
    stateful: bool = False
    same: str | None = None


class PipelineSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds; of a graph, `part` is its place in the model, if not its name, `same` an earlier graph."""

    model: str
    graphs: dict[str, _Graph]
    wiring: dict[str, str]
    logits: str | tuple[str, ...]
    decoding: Transducer | Text
    out: str | None = None
    weights: str | None = None
    weights_key: str | None = None
    start: int | tuple[int, ...] | None = None
    reference: str | None = None
    cases: str | None = None
    batch: str = "N"


def export_from(file: Path, out: Path | None, options: OnnxOptions) -> ExportedPipeline:
    """Export the pipeline that a file describes.

    Raises:
        InputError: it is no such file, or what it names is not there; and whatever `export_pipeline` raises.
    """
    settings = read_settings(file)
    model = _build(settings, options.seed)
    graphs: dict[str, Part | str] = {}
    for name, graph in settings.graphs.items():
        if graph.same is not None:
            graphs[name] = graph.same
        else:
            module = part_of(model, graph.part or name)
            graphs[name] = Part(module, list(graph.inputs), list(graph.outputs), graph.states, graph.stateful)
    return export_pipeline(
        graphs,
        settings.decoding,
        out or Path(settings.out or Path("artifacts") / file.stem),
        logits=settings.logits if isinstance(settings.logits, str) else list(settings.logits),
        wiring=settings.wiring,
        start=settings.start if settings.start is None or isinstance(settings.start, int) else list(settings.start),
        reference=None if settings.reference is None else _reference(settings.reference, model),
        cases=settings.cases,
        batch=settings.batch,
        options=options,
    )


def read_settings(file: Path) -> PipelineSettings:
    """What a file says.

    Raises:
        InputError: it is not there, is not TOML, or says something else.
    """
    if not file.is_file():
        raise InputError(f"There is no file {file}. Give a TOML file that describes the pipeline.")
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        return msgspec.convert(content, PipelineSettings)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not TOML: {error}. Mend it there.") from error
    except ValidationError as error:
        raise InputError(f"{file} describes no pipeline: {error}. Mend it there.") from error


def _build(settings: PipelineSettings, seed: int) -> Any:
    factory = find_callable(settings.model)
    torch.manual_seed(seed)
    try:
        model = factory if isinstance(factory, nn.Module) else factory()
    except Exception as error:  # whatever the user's code raises
        raise LoadError(f"Building {settings.model} raised {type(error).__name__}: {first_line(error)}.") from error
    if settings.weights is not None:
        if not isinstance(model, nn.Module):
            raise LoadError(f"{settings.model} made a {type(model).__name__}, which takes no weights. Load them there.")
        load_weights(model, Path(settings.weights), settings.weights_key)
    return model


def _reference(name: str, model: Any) -> Callable[..., Any]:
    return partial(find_callable(name), model)
