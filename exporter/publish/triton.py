"""Write a bundle as a model of Triton Inference Server, batched where the stored cases show that this is right."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..bundle.cases import read_cases
from ..bundle.files import Bundle
from ..bundle.manifest import CASES, Manifest
from ..bundle.replace import replacing
from ..errors import BundleError, InputError
from ..parity.artifact import open_whole
from ..parity.check import check_case
from ..runtimes.session import Session, SessionWrapper
from ..spec.artifact import Artifact
from ..spec.dims import Dim, parse, spell
from ..spec.signature import Signature
from ..spec.streams import State, StreamSpec
from .ship import WrittenFiles, sizes_of
from .triton_config import CarriedState, ModelConfig, Tensor

CONFIG = "config.pbtxt"

# Triton looks there for what a sequence begins with.
_INITIAL = "initial_state"

# Triton's numbers have 32 bits.
_LARGEST = 2**31 - 1
Array = NDArray[np.generic]
Dims = Sequence[Dim]


def write_triton(
    bundle: str | Path | Bundle,
    out: str | Path,
    *,
    name: str | None = None,
    max_batch: int = 32,
    instances: int = 1,
    device: Literal["cpu", "gpu"] = "cpu",
) -> WrittenFiles:
    """Write the model `<out>/<name>`, a folder that Triton loads.

    Requests are batched along N (without one, along the first input's first dimension) if every input, output and
    state has it first, and every sequence alone gives what the batch gives. Triton carries the states of a stream.

    Args:
        bundle: the folder, or one that was opened.
        out: the model repository, which may hold other models.
        name: the model's name there; by default the bundle's.
        max_batch: so many sequences at once; 0 batches none.
        instances: of the model, which run side by side.
        device: where.

    Raises:
        BundleError: `bundle` is not one, holds no ONNX file or one that is wrong, or the folder cannot be written.
        InputError: the name is none for a model, `out` lies in the bundle, `max_batch`, `instances` or `device` is
            none, Triton cannot carry a state, or int8 weights are to run on a GPU.
    """
    opened = Bundle.open(bundle)
    folder, manifest = opened.folder, opened.manifest
    file, artifact = opened.onnx
    if artifact.bound and device == "gpu":
        raise InputError(
            f"{file} has int8 weights, which ONNX Runtime does not run on CUDA. "
            "Take the CPU, or export the model with float32 weights."
        )
    opened.check_outside(Path(out))
    for option, number, least in (("max_batch", max_batch, 0), ("instances", instances, 1)):
        if not least <= number <= _LARGEST:
            raise InputError(f"{option} is {number}. Give a number from {least} to {_LARGEST}.")
    if device not in ("cpu", "gpu"):
        raise InputError(f"There is no device '{device}'. Choose from cpu, gpu.")
    called = manifest.name if name is None else name
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", called):
        raise InputError(f"'{called}' is not a name for a model. Give one of letters, digits, '_', '-' and '.'.")
    states = artifact.stream.states if artifact.stream is not None else ()
    layout = _Layout.of(manifest, artifact.stream)
    why = _why_not_batched(folder / file, artifact, manifest, layout) if max_batch else "the largest batch is 0"
    batched = not why
    carried = [_carried(state, layout.batch, batched) for state in states]
    config = ModelConfig(
        name=called,
        max_batch_size=max_batch if batched else 0,
        inputs=[Tensor(key, dtype, layout.taken(dims, batched)) for key, (dtype, dims) in layout.inputs.items()],
        outputs=[Tensor(key, dtype, _given(dims, batched)) for key, (dtype, dims) in layout.outputs.items()],
        states=carried,
        instances=instances,
        device=device,
    )
    place = Path(out) / called
    with replacing(place, what="Triton model", mark=CONFIG) as temporary:
        (temporary / CONFIG).write_text(config.text(), encoding="utf-8")
        (temporary / "1").mkdir()
        for each in manifest.files_of(file):
            shutil.copy2(folder / each, temporary / "1" / each)
        for state, entry in zip(states, carried, strict=True):
            if entry.file:
                (temporary / _INITIAL).mkdir(exist_ok=True)
                (temporary / _INITIAL / entry.file).write_bytes(_begin(state).tobytes())
    return WrittenFiles(place, sizes_of(place), tuple(_notes(layout, why, max_batch, instances, artifact)))


@dataclass(frozen=True)
class _Layout:
    """Dtype and dimensions of everything that goes in and out, and the dimension that sequences lie along, if any."""

    batch: str
    inputs: Mapping[str, tuple[str, Dims]]
    outputs: Mapping[str, tuple[str, Dims]]
    states: Mapping[str, tuple[str, Dims]]

    @classmethod
    def of(cls, manifest: Manifest, stream: StreamSpec | None) -> _Layout:
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
        return _given([1 if dim == alone else dim for dim in dims], batched)

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


def _why_not_batched(file: Path, artifact: Artifact, manifest: Manifest, layout: _Layout) -> str:
    """Why sequences of different requests may not be run together; empty where they may."""
    why = layout.why_not_first()
    if why:
        return why
    ordered = next((name for name, spec in manifest.signature.inputs.items() if spec.descending), None)
    if ordered is not None:
        return f"'{ordered}' has to be sorted over the batch"
    expected = read_cases(file.parent / CASES, manifest) if CASES in manifest.files else []
    several = [item for item in expected if item.case.sizes.get(layout.batch, 1) > 1]
    if not several:
        return "the bundle has no case of several sequences to try it with"
    typical = manifest.baseline
    session = open_whole(file, artifact, manifest.signature, expected)

    def failed(session: Session) -> str:
        results = (check_case(session, item, typical, artifact.bound) for item in several)
        return next((result.case.name for result in results if result.verdict == "FAIL"), "")

    wrong = failed(session)
    if wrong:
        raise BundleError(f"{file} does not compute what the bundle stores for case {wrong}. Export the model again.")
    apart = failed(_OneByOne(session, manifest.signature))
    return f"a sequence alone gives something else than in a batch, in case {apart}" if apart else ""


def _carried(state: State, batch: str, batched: bool) -> CarriedState:
    """As Triton has it.

    Raises:
        InputError: it has a dynamic size that Triton would have to know before the first request, or none at all.
    """
    if not state.shape:
        raise InputError(f"State '{state.name}' is a single number, which Triton cannot carry. Give it a dimension.")
    symbols = {part for dim in state.shape for part in str(dim).split("*") if not part.isdecimal()}
    unknown = sorted(symbols - {batch})
    if unknown:
        raise InputError(
            f"State '{state.name}' has the dynamic size {unknown[0]}, which Triton has to know when a sequence begins. "
            f"Export the model with a number for it."
        )
    begin = _begin(state)
    dims = begin.shape[1:] if batched else begin.shape
    return CarriedState(state.name, state.output, state.dtype, dims, state.name if any(begin.tobytes()) else "")


def _begin(state: State) -> Array:
    """What one sequence begins with."""
    symbols = {part for dim in state.shape for part in str(dim).split("*") if not part.isdecimal()}
    return state.initial(dict.fromkeys(symbols, 1))


def _given(dims: Dims, batched: bool) -> tuple[int, ...]:
    """An output's sizes in Triton, which have to be the file's own: -1 is any."""
    # Without dimensions there is nothing in Triton: its ONNX Runtime backend takes [1] for that, but in a batch.
    kept = dims[1:] if batched else dims or [1]
    return tuple(dim if isinstance(dim, int) else -1 for dim in kept)


def _notes(layout: _Layout, why: str, max_batch: int, instances: int, artifact: Artifact) -> list[str]:
    if not why:
        said = [f"Batched along {layout.batch}, up to {max_batch}: sequences alone gave what a batch gives."]
        shared = (
            "int8 activations have one scale for the batch: what a request gets depends on the others, within "
            f"a bound of {artifact.bound:g}, and a NaN in one reaches all. A largest batch of 0 keeps them apart."
        )
        return [*said, shared] if artifact.bound else said
    if not layout.states:
        return [f"Not batched: {why}. A request is a batch of its own (max_batch_size is 0)."]
    many = f"{instances} sequences are" if instances > 1 else "one sequence is"
    return [
        f"Not batched: {why}. A request is a part of one sequence, and {many} open at once; more instances take more."
    ]
