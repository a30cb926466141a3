"""Read what a caller asks to export: a model or where one is, a signature or what makes one, a folder or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from torch import nn

from ..errors import InputError, LoadError, type_in_words
from ..spec.artifact import Source
from ..spec.signature import Signature, as_signature
from .load import load
from .made_cases import CaseMaker, find_made_cases
from .request import Example, ExportRequest


def request_for(
    model: Any, signature: Any, example: Example | None, cases: CaseMaker | str | None, source: Source | None, seed: int
) -> ExportRequest:
    """The request for these arguments of an export.

    Raises:
        InputError: the model is none, the signature is malformed, or the model or function is not found.
    """
    signature = as_signature(signature)
    module, source = _module(model, signature, source, seed)
    made = find_made_cases(cases)
    if source is not None and made is not None:
        source = replace(source, cases=made.name)
    return ExportRequest(module, signature, example, source, made)


def _module(model: Any, signature: Signature, source: Source | None, seed: int) -> tuple[nn.Module, Source | None]:
    if isinstance(model, nn.Module):
        return model, source
    if isinstance(model, str | Path):
        loaded = load(str(model), inputs=signature.inputs, outputs=signature.outputs, seed=seed)
        return loaded.model, loaded.source
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise LoadError(f"{model.__name__} is a class. Give a model of it, such as {model.__name__}(...).")
    if isinstance(model, Mapping):
        raise LoadError("A state dict is given in place of a model. Load it into one: model.load_state_dict(weights).")
    raise LoadError(f"The model is {type_in_words(model)}. Give an nn.Module, or where one is, as file.py:Factory.")


def folder_for(out: str | Path | None, request: ExportRequest) -> Path:
    """Where the bundle goes, by default `artifacts/` and the model's name.

    Raises:
        InputError: what is given is no path.
    """
    if out is None:
        return Path("artifacts") / (request.source.name if request.source else type(request.model).__name__)
    if not isinstance(out, str | Path):
        raise InputError(f"`out` is {type_in_words(out)}. Give the path of a folder.")
    return Path(out)
