"""Which dimension sequences lie along, and whether those of different requests may be run together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bundle.cases import read_cases
from ..bundle.manifest import CASES, Manifest
from ..errors import BundleError
from ..parity.artifact import open_whole
from ..parity.check import Trims, check_case
from ..parity.expected import Expected
from ..runtimes.session import Session, SessionWrapper
from ..spec.artifact import Artifact
from ..spec.dims import Dim, parse, spell
from ..spec.signature import Signature
from ..spec.streams import StreamSpec

Array = NDArray[np.generic]
Dims = Sequence[Dim]


@dataclass(frozen=True)
class Layout:
    """Dtype and dimensions of everything that goes in and out, and the dimension that sequences lie along, if any."""

    batch: str
    inputs: Mapping[str, tuple[str, Dims]]
    outputs: Mapping[str, tuple[str, Dims]]
    states: Mapping[str, tuple[str, Dims]]

    @classmethod
    def of(cls, manifest: Manifest, stream: StreamSpec | None) -> Layout:
        states = stream.states if stream is not None else ()
        carried = {state.name for state in states}
        specs = manifest.signature.inputs
        inputs = {name: (spec.dtype, spec.shape) for name, spec in specs.items() if name not in carried}
        outputs = {name: parse(text) for name, text in manifest.outputs.items()}
        first = next(iter(specs.values())).shape
        # Chunks are cut along the time, so that no sequences lie along it.
        dims = first[:1] if stream is None else [dim for dim in first if dim != stream.time]
        others = [dim for dim in dims if isinstance(dim, str)]
        batch = "N" if "N" in manifest.signature.symbols else next(iter(others), "")
        return cls(batch, inputs, outputs, {state.name: (state.dtype, state.shape) for state in states})

    def taken(self, dims: Dims, batched: bool) -> tuple[int, ...]:
        """An input's sizes in Triton: without the batch dimension, or with it, which is 1 where there are states."""
        alone = self.batch if self.states and not batched else ""
        return given([1 if dim == alone else dim for dim in dims], batched)

    def why_not_first(self) -> str:
        """Which tensor does not have the batch dimension first and nowhere else; empty if all do."""
        if not self.batch:
            return "the model has no dynamic dimension for them"
        groups = {"input": self.inputs, "output": self.outputs, "state": self.states}
        for kind, tensors in groups.items():
            for name, (dtype, dims) in tensors.items():
                if not dims or dims[0] != self.batch:
                    return f"{self.batch} is not the first dimension of {kind} '{name}', {spell(dtype, dims)}"
                if any(self.batch in str(dim).split("*") for dim in dims[1:]):
                    return f"{self.batch} is more than one dimension of {kind} '{name}'"
                if kind == "state" and len(dims) == 1:
                    return f"{self.batch} is the only dimension of state '{name}'"
        return ""


@dataclass(frozen=True)
class _OneByOne(SessionWrapper):
    """A session that runs every sequence of a batch by itself, and joins what comes out."""

    signature: Signature

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        count = len(next(iter(inputs.values())))
        alone = [self.session.run({name: array[i : i + 1] for name, array in inputs.items()}) for i in range(count)]
        return {name: np.concatenate([each[name] for each in alone]) for name in self.signature.outputs}

    @property
    def leaves_out(self) -> bool:
        return isinstance(self.session, Trims) and self.session.leaves_out

    def trimmed(self, item: Expected) -> Expected:
        return self.session.trimmed(item) if isinstance(self.session, Trims) else item


def why_not_batched(file: Path, artifact: Artifact, manifest: Manifest, layout: Layout) -> str:
    """Why sequences of different requests may not be run together; empty where they may."""
    why = layout.why_not_first()
    if why:
        return why
    ordered = next((name for name, spec in manifest.signature.inputs.items() if spec.descending), None)
    if ordered is not None:
        return f"'{ordered}' has to be sorted over the batch"
    expected = read_cases(file.parent / CASES, manifest, file.name) if CASES in manifest.files else []
    several = [item for item in expected if item.case.sizes.get(layout.batch, 1) > 1]
    if not several:
        return "the bundle has no case of several sequences to try it with"
    session = open_whole(file, artifact, manifest.signature, expected)

    def failed(session: Session) -> str:
        results = (check_case(session, item, artifact.bound) for item in several)
        return next((result.case.name for result in results if result.verdict == "FAIL"), "")

    wrong = failed(session)
    if wrong:
        raise BundleError(f"{file} does not compute what the bundle stores for case {wrong}. Export the model again.")
    apart = failed(_OneByOne(session, manifest.signature))
    return f"a sequence alone gives something else than in a batch, in case {apart}" if apart else ""


def given(dims: Dims, batched: bool) -> tuple[int, ...]:
    """An output's sizes in Triton, which have to be the file's own: -1 is any."""
    # Without dimensions there is nothing in Triton: its ONNX Runtime backend takes [1] for that, but in a batch.
    kept = dims[1:] if batched else dims or [1]
    return tuple(dim if isinstance(dim, int) else -1 for dim in kept)
