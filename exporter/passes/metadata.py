"""What a model file says of itself: what made it, its signature, and which states belong together.

Works in place.
"""

from __future__ import annotations

import json

import onnx_ir as ir

from .. import __version__
from ..onnx_file import METADATA_PREFIX
from ..signature import Signature


def describe(model: ir.Model, signature: Signature) -> None:
    """Write `producer_name`, `producer_version` and `metadata_props`, which any ONNX reader can show."""
    model.producer_name = "rnn-export"
    model.producer_version = __version__
    model.metadata_props.clear()
    model.metadata_props[f"{METADATA_PREFIX}.version"] = __version__
    model.metadata_props[f"{METADATA_PREFIX}.inputs"] = json.dumps(signature.to_json()["inputs"])
    model.metadata_props[f"{METADATA_PREFIX}.outputs"] = json.dumps(list(signature.outputs))
    model.metadata_props[f"{METADATA_PREFIX}.states"] = json.dumps(dict(signature.states))
