"""`cases.safetensors`: a few cases that travel in the bundle, with what PyTorch computes for them.

Tensors are named `<case>/inputs/<input>`, `<case>/outputs/<output>` (in the model's precision) and
`<case>/reference/<output>` (in float64, where the model has that form), so that any program can replay them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from msgspec.structs import replace
from numpy.typing import NDArray

from ..errors import BundleError, SignatureError, UnavailableError, first_line
from ..parity.chunks import element_order
from ..parity.compare import allow
from ..parity.expected import Expected, output_dims
from ..parity.reference import Reference
from ..pytorch.samples import Case, sizes_of
from ..runtimes.open import open_session
from ..spec.artifact import Artifact, Baseline, StoredCase
from ..spec.dims import parse, spell
from ..spec.signature import Signature
from .manifest import MANIFEST, Manifest


def describe_outputs(expected: Sequence[Expected]) -> dict[str, str]:
    """Each output's dtype and dimensions; a product such as `T*N` is spelled in any order."""
    first = next(item.reference for item in expected if item.reference is not None)
    return {name: spell(first.eager[name].dtype.name, dims) for name, dims in output_dims(expected).items()}


def in_order(
    described: Mapping[str, str],
    folder: Path,
    artifacts: Mapping[str, Artifact],
    signature: Signature,
    expected: Sequence[Expected],
) -> dict[str, str]:
    """The same with products in the order in which the elements lie: `N*T` where those of a sequence are together.

    Who joins the chunks of a stream has to know it. Shapes do not tell; feeding the stream one step at a time does.
    """
    streaming = next((entry for entry in artifacts.items() if entry[1].stream is not None), None)
    if streaming is None or not any("*" in text for text in described.values()):
        return dict(described)
    name, artifact = streaming
    assert artifact.stream is not None
    try:
        session = open_session(artifact.runtime, folder / name, signature.outputs)
    except UnavailableError:  # nothing can be verified here either
        return dict(described)
    parsed = {output: parse(text) for output, text in described.items()}
    dims = {output: own for output, (_, own) in parsed.items()}
    found = element_order(session, artifact.stream, signature, expected, dims)
    return {output: spell(parsed[output][0], own) for output, own in found.items()}


_LARGEST = 4_000_000
Array = NDArray[np.generic]


def choose_cases(expected: Sequence[Expected]) -> list[Expected]:
    """A few to store: the captured sizes, the smallest, the longest at its narrowest, zero and saturating values."""
    small = [item for item in expected if item.reference is not None and _size(item) <= _LARGEST]
    ordinary = [item for item in small if item.case.values == "ordinary"]
    if not ordinary:
        return []
    smallest = min(ordinary, key=lambda item: prod(item.case.sizes.values()))
    longest = max(ordinary, key=lambda item: (max(item.case.sizes.values(), default=0), -_size(item)))
    others = [item for item in small if item.case.values in ("zero", "saturating")]
    return list({item.case.name: item for item in (ordinary[0], smallest, longest, *others)}.values())


def with_limits(
    artifacts: Mapping[str, Artifact], stored: Sequence[Expected], baseline: Mapping[str, Baseline]
) -> dict[str, Artifact]:
    """Model files by name, each with the limits of the stored cases."""
    return {
        name: replace(artifact, limits={item.case.name: _limits(item, baseline, artifact.bound) for item in stored})
        for name, artifact in sorted(artifacts.items())
    }


def _limits(item: Expected, baseline: Mapping[str, Baseline], bound: float) -> dict[str, float]:
    reference = item.reference
    assert reference is not None
    exact = reference.exact or {}
    return {
        name: allow(
            eager, exact.get(name), reference.eager_error.get(name, 0.0), baseline.get(name, Baseline(0.0, 0.0)), bound
        ).limit
        for name, eager in reference.eager.items()
    }


def write_cases(path: Path, chosen: Sequence[Expected]) -> tuple[StoredCase, ...]:
    """Store the cases; returns their descriptions for the manifest."""
    tensors = {key: np.asarray(array, order="C") for item in chosen for key, array in _named(item)}
    safetensors.numpy.save_file(tensors, path)
    return tuple(
        StoredCase(
            name=item.case.name,
            sizes=item.case.sizes,
            values=item.case.values,
            seed=item.case.seed,
            eager_error=item.reference.eager_error,
        )
        for item in chosen
        if item.reference is not None
    )


def read_cases(path: Path, manifest: Manifest) -> list[Expected]:
    """The stored cases, as `parity.check.check` takes them.

    Raises:
        BundleError: the file does not hold what the manifest says.
    """
    try:
        tensors = safetensors.numpy.load_file(path)
        return [_expected(entry, tensors, manifest) for entry in manifest.cases]
    except (safetensors.SafetensorError, SignatureError, KeyError, TypeError, ValueError, OSError) as error:
        raise BundleError(f"{path} does not hold the cases ({first_line(error)}). Export the model again.") from error


def _size(item: Expected) -> int:
    return sum(array.nbytes for _, array in _named(item))


def _named(item: Expected) -> Iterator[tuple[str, Array]]:
    assert item.reference is not None
    parts = {"inputs": item.inputs, "outputs": item.reference.eager, "reference": item.reference.exact or {}}
    for part, arrays in parts.items():
        for name, array in arrays.items():
            yield f"{item.case.name}/{part}/{name}", array


def _expected(entry: StoredCase, tensors: Mapping[str, Array], manifest: Manifest) -> Expected:
    case = Case(entry.sizes, entry.values, entry.seed)
    inputs = {name: tensors[f"{case.name}/inputs/{name}"] for name in manifest.signature.inputs}
    if sizes_of(manifest.signature, inputs) != dict(entry.sizes):
        raise ValueError(f"the inputs of {entry.name} have other sizes than {MANIFEST} says")
    eager = {name: tensors[f"{case.name}/outputs/{name}"] for name in manifest.signature.outputs}
    has_exact = all(f"{case.name}/reference/{name}" in tensors for name in eager)
    exact = {name: tensors[f"{case.name}/reference/{name}"] for name in eager} if has_exact else None
    if exact is not None and any(exact[name].shape != eager[name].shape for name in eager):
        raise ValueError(f"the outputs of {entry.name} and their reference have different shapes")
    return Expected(case, inputs, Reference(eager, exact, entry.eager_error))
