"""The request for a model of which every call goes on where the one before ended: its own memory, and its layers'."""

from __future__ import annotations

from dataclasses import replace

from ...errors import CaptureError
from ...spec.signature import Signature
from ...spec.streams import STATELESS
from ..evaluation import as_python, unwrap
from ..request import ExportRequest
from .kept_layers import with_kept_layers
from .remembering import Remembering
from .requested import with_memory


def streamed(request: ExportRequest, seed: int) -> ExportRequest:
    """The request with explicit states: what the model keeps from call to call, and the states of layers over T.

    Raises:
        CaptureError: there are none, or they cannot be carried.
        LoadError: the model's forward raises, or is not deterministic.
    """
    request = replace(request, model=as_python(unwrap(request.model)))
    signature = request.signature
    if "T" not in signature.symbols:
        return _demanded(with_memory(request, seed), signature)
    found = with_memory(replace(request, model=with_kept_layers(request.model)), seed)
    within = _within_a_step(found)
    if within:
        found = with_memory(replace(request, model=with_kept_layers(request.model, within)), seed)
    return _demanded(found, signature)


def _within_a_step(found: ExportRequest) -> set[str]:
    """The layers that have a sequence of their own for every time step: their states are as many as there are steps."""
    slots = found.model.arrangement.slots if isinstance(found.model, Remembering) else ()
    return {slot.place.module for slot in slots if any("T" in str(dim).split("*") for dim in slot.state.shape)}


def _demanded(request: ExportRequest, signature: Signature) -> ExportRequest:
    if isinstance(request.model, Remembering):
        return request
    named = "" if "T" in signature.symbols else " Name the time dimension T, or keep what is carried in an attribute."
    raise CaptureError(f"The model has no state that could be carried from call to call.{named} {STATELESS}")
