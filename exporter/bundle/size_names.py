"""What the names of dynamic sizes stand for, and how large each may be, as the README of a bundle says it."""

from __future__ import annotations

from ..spec.artifact import Artifact
from .manifest import Manifest

# As signatures are written in this package's documentation, and elsewhere.
_KNOWN = {"T": "time steps", "N": "sequences at once", "B": "sequences at once"}


def size_names(manifest: Manifest) -> dict[str, str]:
    """`time steps, 1 or more` by name."""
    times = {artifact.stream.time for artifact in manifest.artifacts.values() if artifact.stream is not None}
    return {name: ", ".join([*_meaning(name, times), *_bounds(name, manifest)]) for name in manifest.signature.symbols}


def _meaning(name: str, times: set[str | None]) -> list[str]:
    return ["time steps"] if name in times else [_KNOWN[name]] if name in _KNOWN else []


def _bounds(name: str, manifest: Manifest) -> list[str]:
    """One for all files, or one for each where they differ."""
    found = {file: _bound(name, artifact) for file, artifact in manifest.artifacts.items()}
    if len(set(found.values())) == 1:
        return [next(iter(found.values()))]
    return [f"{bound} in `{file}`" for file, bound in found.items()]


def _bound(name: str, artifact: Artifact) -> str:
    bound = artifact.bounds.get(name, {})
    least = bound.get("min", 1)
    return f"{least} to {bound['max']}" if "max" in bound else f"{least} or more"
