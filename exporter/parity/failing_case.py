"""Store a case that an artifact fails in a file, so that it can be run again without the model.

The file is safetensors. Its tensors are `inputs/<input>`, `outputs/<output>` (PyTorch's), `reference/<output>` (in
float64), `limits/<output>` and `scale/<output>` (by element, see `limits`), and as bool `touched/<output>` (the mask of
a non-finite input) and `unsettled/<output>`; all else is JSON in the metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from ..errors import BundleError, first_line
from ..pytorch.samples import Case
from ..whole_file import write_whole
from .expected import Expected
from .limits import Tolerance
from .reference import Reference

_KEY = "rnn_export.case"
Array = NDArray[np.generic]
Dims = Mapping[str, Sequence[str | int | None]]


@dataclass(frozen=True)
class Feeding:
    """How a stream was fed: the lengths of the chunks, whether after a reset, and the outputs' dimensions."""

    lengths: Sequence[int]
    after_reset: bool
    dims: Dims


@dataclass(frozen=True)
class FailingCase:
    """A case that an artifact fails, with what judging it again needs: PyTorch's outputs and how far these may be off.

    `weights_sha256` identifies the model. `fed` is None where the model has no explicit states.
    """

    artifact: str
    weights_sha256: str
    item: Expected
    fed: Feeding | None

    @property
    def description(self) -> str:
        """The case in words, such as `ordinary values at T=1, N=2`."""
        sizes = ", ".join(f"{name}={size}" for name, size in self.item.case.sizes.items())
        return f"{self.item.case.values} values" + (f" at {sizes}" if sizes else "")


def write_failing_case(path: Path, failing: FailingCase) -> None:
    """Write the file; PyTorch must run the case."""
    write_whole(path, safetensors.numpy.save(_tensors(failing.item), {_KEY: json.dumps(_metadata(failing))}))


def _tensors(item: Expected) -> dict[str, Array]:
    assert item.reference is not None
    parts: Mapping[str, Mapping[str, Array]] = {
        "inputs": item.inputs,
        "outputs": item.reference.eager,
        "reference": item.reference.exact or {},
        "touched": item.nonfinite_mask or {},
        "unsettled": item.reference.unsettled,
        "limits": {name: tolerance.limit for name, tolerance in item.tolerances.items()},
        "scale": {name: tolerance.scale for name, tolerance in item.tolerances.items()},
    }
    return {f"{part}/{name}": np.asarray(a, order="C") for part, arrays in parts.items() for name, a in arrays.items()}


def _metadata(failing: FailingCase) -> dict[str, Any]:
    item = failing.item
    assert item.reference is not None
    return {
        "artifact": failing.artifact,
        "weights_sha256": failing.weights_sha256,
        "case": asdict(item.case),
        "measures": dict(item.measures),
        "fed": failing.fed and asdict(failing.fed),
    }


def read_failing_case(path: Path) -> FailingCase:
    """Read a file that `write_failing_case` wrote.

    Raises:
        BundleError: the file does not exist, or is not a case.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise BundleError(f"The case {path} {what}. Give the file that verify named when it failed.")
    try:
        with safetensors.safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dictionary
        return _failing_case(about, tensors)
    except (OSError, safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{path} is not a case that verify wrote ({type(error).__name__}: {first_line(error)}). "
            "Give the file that it named."
        ) from error


def _failing_case(about: Mapping[str, Any], tensors: Mapping[str, Array]) -> FailingCase:
    def part(name: str) -> dict[str, NDArray[Any]]:
        return {key.removeprefix(f"{name}/"): tensor for key, tensor in tensors.items() if key.startswith(f"{name}/")}

    reference = Reference(part("outputs"), part("reference") or None, unsettled=part("unsettled"))
    limits, scale = part("limits"), part("scale")
    item = Expected(
        Case(**about["case"]),
        part("inputs"),
        reference,
        nonfinite_mask=part("touched") or None,
        measures=about["measures"],
        tolerances={name: Tolerance(limit, scale[name]) for name, limit in limits.items()},
    )
    fed = None if about["fed"] is None else Feeding(**about["fed"])
    return FailingCase(about["artifact"], about["weights_sha256"], item, fed)
