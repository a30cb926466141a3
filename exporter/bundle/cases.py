"""`cases.safetensors`: a few cases that travel in the bundle, with what PyTorch computes for them.

Tensors are named `<case>/inputs/<input>`, `<case>/outputs/<output>` (in the model's precision),
`<case>/reference/<output>` (in float64, where that is a reference) and `<case>/limits/<file>/<output>`: for each
element how large the error of that model file may be, absolute, against the reference, or against the output where
there is none. So any program can replay them. Integers have no limits, and must be equal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from ..errors import BundleError, SignatureError, UnavailableError, first_line
from ..parity.chunks import element_order
from ..parity.compare import with_bound
from ..parity.expected import Expected, output_dims
from ..parity.limits import Tolerance
from ..parity.reference import Reference
from ..pytorch.samples import Case, sizes_of
from ..runtimes.open import open_session
from ..spec.artifact import Artifact, StoredCase
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
    """A few to store: the captured sizes, the smallest, the longest at its narrowest, and one of each kind."""
    small = [item for item in expected if item.reference is not None and _size(item) <= _LARGEST]
    ordinary = [item for item in small if item.case.values == "ordinary"]
    if not ordinary:
        return []
    smallest = min(ordinary, key=lambda item: prod(item.case.sizes.values()))
    longest = max(ordinary, key=lambda item: (max(item.case.sizes.values(), default=0), -_size(item)))
    others = [item for item in small if item.case.values in ("zero", "saturating")]
    others += [item for item in small if item.case.values == "random"][:1]
    return list({item.case.name: item for item in (ordinary[0], smallest, longest, *others)}.values())


def write_cases(path: Path, chosen: Sequence[Expected], artifacts: Mapping[str, Artifact]) -> tuple[StoredCase, ...]:
    """Store the cases, with the limits of these model files; returns their descriptions for the manifest."""
    tensors = {key: np.asarray(array, order="C") for item in chosen for key, array in _named(item)}
    limits = {key: limit for item in chosen for key, limit in _limits(item, artifacts)}
    safetensors.numpy.save_file({**tensors, **limits}, path)
    return tuple(
        StoredCase(name=item.case.name, sizes=item.case.sizes, values=item.case.values, seed=item.case.seed)
        for item in chosen
    )


def _limits(item: Expected, artifacts: Mapping[str, Artifact]) -> Iterator[tuple[str, Array]]:
    for file, artifact in sorted(artifacts.items()):
        for output, tolerance in item.tolerances.items():
            yield f"{item.case.name}/limits/{file}/{output}", with_bound(tolerance, artifact.bound).limit


def read_cases(path: Path, manifest: Manifest, artifact: str | None = None) -> list[Expected]:
    """The stored cases, as `parity.check.check` takes them.

    Args:
        artifact: the model file that they are for; None leaves out the limits.

    Raises:
        BundleError: the file does not hold what the manifest says, or is of a format without limits of elements.
    """
    try:
        tensors = safetensors.numpy.load_file(path)
        cases = [_expected(entry, tensors, manifest) for entry in manifest.cases]
    except (safetensors.SafetensorError, SignatureError, KeyError, TypeError, ValueError, OSError) as error:
        raise BundleError(f"{path} does not hold the cases ({first_line(error)}). Export the model again.") from error
    return cases if artifact is None else [_with_limits(path, item, artifact, tensors) for item in cases]


def _with_limits(path: Path, item: Expected, artifact: str, tensors: Mapping[str, Array]) -> Expected:
    assert item.reference is not None
    found: dict[str, Tolerance] = {}
    for name, eager in item.reference.eager.items():
        if np.issubdtype(eager.dtype, np.floating):
            limit = tensors.get(f"{item.case.name}/limits/{artifact}/{name}")
            if (
                limit is None
                or limit.shape != eager.shape
                or limit.dtype != np.float64
                or not bool((limit.astype(float) >= 0).all())
            ):
                raise BundleError(
                    f"{path} has no limits for '{name}' of {artifact}: an older rnn-export wrote it, whose limits were "
                    "too wide. Export the model again, or verify it with the model."
                )
            found[name] = Tolerance(limit.astype(np.float64), np.zeros(eager.shape))
    return dataclasses.replace(item, tolerances=found)


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
    exact = {name: tensors[key] for name in eager if (key := f"{case.name}/reference/{name}") in tensors}
    if any(array.shape != eager[name].shape for name, array in exact.items()):
        raise ValueError(f"the outputs of {entry.name} and their reference have different shapes")
    return Expected(case, inputs, Reference(eager, exact or None))
