"""The JSON Schemas of `manifest.json` and `pipeline.json`; `python -m rnn_export.bundle.schema` writes the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from ..spec.pipeline import Pipeline
from .manifest import Manifest

FILE = Path(__file__).with_name("manifest.schema.json")
PIPELINE_FILE = Path(__file__).with_name("pipeline.schema.json")


def schema(kind: type[msgspec.Struct] = Manifest, title: str = "rnn-export bundle manifest") -> dict[str, Any]:
    """What such a file looks like; its own hash, which is no part of what is hashed, comes last."""
    (_, components) = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    manifest = components.pop(kind.__name__)
    sha256 = {
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": "Of this object without this entry, keys sorted.",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **manifest,
        "title": title,
        "properties": {**manifest["properties"], "sha256": sha256},
        "required": [*manifest["required"], "sha256"],
        "$defs": components,
    }


def text() -> str:
    """The content of the file that ships with the package."""
    return json.dumps(schema(), indent=2) + "\n"


def pipeline_text() -> str:
    """That of the one for pipelines."""
    return json.dumps(schema(Pipeline, "rnn-export pipeline"), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    PIPELINE_FILE.write_text(pipeline_text(), encoding="utf-8")
