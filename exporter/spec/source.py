"""Where a model came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a model came from, enough to build it again: what `load` was asked for, and "float16" if made that."""

    kind: Literal["builtin", "module", "file"]
    model: str
    arguments: Mapping[str, Any]
    seed: int
    precision: Literal["float16"] | None = None

    @property
    def name(self) -> str:
        """A short name, used for the folder that a bundle is written to."""
        return self.model.rpartition(":")[2]
