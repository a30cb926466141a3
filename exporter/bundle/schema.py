"""The JSON Schema of `manifest.json`, made from `Manifest`; `python -m rnn_export.bundle.schema` writes the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from .manifest import Manifest

FILE = Path(__file__).with_name("manifest.schema.json")


def schema() -> dict[str, Any]:
    """What a manifest looks like; its own hash, which is no part of what is hashed, comes last."""
    (_, components) = msgspec.json.schema_components([Manifest], ref_template="#/$defs/{name}")
    manifest = components.pop("Manifest")
    sha256 = {
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": "Of this object without this entry, keys sorted.",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **manifest,
        "title": "rnn-export bundle manifest",
        "properties": {**manifest["properties"], "sha256": sha256},
        "required": [*manifest["required"], "sha256"],
        "$defs": components,
    }


def text() -> str:
    """The content of the file that ships with the package."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
