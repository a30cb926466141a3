"""Read manifests of format 1 as those of format 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
