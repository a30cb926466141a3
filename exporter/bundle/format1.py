"""Manifests of format 1: read them as format 2, and find out what they lack when a bundle is written again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

if TYPE_CHECKING:
    from .manifest import Manifest


def as_format2(data: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a manifest under the names of format 2; without limits, and with outputs' products in any order.

    Raises:
        AttributeError, KeyError, TypeError: it is not of format 1 either.
    """
    cases = [_renamed(case, own_error="eager_error") for case in data["cases"]]
    artifacts = {name: _artifact(entry) for name, entry in data["artifacts"].items()}
    return {**_renamed(data, typical="baseline"), "format": 2, "cases": cases, "artifacts": artifacts}


def _artifact(entry: Mapping[str, Any]) -> dict[str, Any]:
    parity = entry["parity"]
    if parity is not None:
        cases = [{**case, "verdict": case["verdict"].replace("KNOWN", "EXPECTED")} for case in parity["cases"]]
        parity = {**parity, "cases": cases}
    return {**entry, "parity": parity, "limits": {}}


def _renamed(data: Mapping[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in data.items()}


def upgraded(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest with the limits of its cases and the order of its outputs' elements, which format 1 lacks.

    Raises:
        BundleError: the cases are not what the manifest says.
    """
    if all(artifact.limits for artifact in manifest.artifacts.values()) or not manifest.cases:
        return manifest
    from .cases import read_cases, with_limits  # these import torch, which a bundle of format 2 is copied without
    from .manifest import CASES
    from .outputs import in_order

    stored = read_cases(folder / CASES, manifest)
    return replace(
        manifest,
        outputs=in_order(manifest.outputs, folder, manifest.artifacts, manifest.signature, stored),
        artifacts=with_limits(manifest.artifacts, stored, manifest.baseline),
    )
