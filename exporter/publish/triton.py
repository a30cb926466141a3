"""Write a bundle as a model of Triton Inference Server, batched where the stored cases show that this is right."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from ..bundle.files import Bundle, hash_file
from ..bundle.ours import WRITER, foreign_in, hash_files
from ..bundle.replace import replacing
from ..errors import InputError
from ..spec.artifact import Artifact, FileEntry
from ..spec.streams import State
from .copy_bundle import WrittenFiles, sizes_of
from .triton_batching import Array, Layout, given, why_not_batched
from .triton_config import CarriedState, ModelConfig, Tensor

CONFIG = "config.pbtxt"

# Triton looks there for what a sequence begins with.
_INITIAL = "initial_state"

# Comments at the head of a configuration: its hash, and each file of the model.
_SIGNED = f"# written by {WRITER}, sha256 of the lines below: "
_LISTED = "# file: "

# Triton's numbers have 32 bits.
_LARGEST = 2**31 - 1


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
    opened.check_outside(Path(out))
    called = manifest.name if name is None else name
    _check(called, max_batch, instances, device)
    if artifact.bound and device == "gpu":
        raise InputError(
            f"{file} has int8 weights, which ONNX Runtime does not run on CUDA. "
            "Take the CPU, or export the model with float32 weights."
        )
    states = artifact.stream.states if artifact.stream is not None else ()
    layout = Layout.of(manifest, artifact.stream)
    why = why_not_batched(folder / file, artifact, manifest, layout) if max_batch else "the largest batch is 0"
    batched = not why
    carried = [_carried(state, layout.batch, batched) for state in states]
    config = ModelConfig(
        name=called,
        max_batch_size=max_batch if batched else 0,
        inputs=[Tensor(key, dtype, layout.taken(dims, batched)) for key, (dtype, dims) in layout.inputs.items()],
        outputs=[Tensor(key, dtype, given(dims, batched)) for key, (dtype, dims) in layout.outputs.items()],
        states=carried,
        instances=instances,
        device=device,
    )
    place = Path(out) / called
    begin = {entry.file: _begin(state) for state, entry in zip(states, carried, strict=True) if entry.file}
    _write(place, config, [folder / each for each in manifest.files_of(file)], begin)
    notes = (*_notes(layout, why, max_batch, instances, artifact), *_notes_on_time(artifact))
    return WrittenFiles(place, sizes_of(place), notes)


def _check(name: str, max_batch: int, instances: int, device: str) -> None:
    for what, number, least in (("max_batch", max_batch, 0), ("instances", instances, 1)):
        if not least <= number <= _LARGEST:
            raise InputError(f"{what} is {number}. Give a number from {least} to {_LARGEST}.")
    if device not in ("cpu", "gpu"):
        raise InputError(f"There is no device '{device}'. Choose from cpu, gpu.")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise InputError(f"'{name}' is not a name for a model. Give one of letters, digits, '_', '-' and '.'.")


def _write(place: Path, config: ModelConfig, files: Sequence[Path], begin: Mapping[str, Array]) -> None:
    with replacing(place, what="Triton model", foreign=_foreign) as folder:
        (folder / "1").mkdir()
        for file in files:
            shutil.copy2(file, folder / "1" / file.name)
        for name, values in begin.items():
            (folder / _INITIAL).mkdir(exist_ok=True)
            (folder / _INITIAL / name).write_bytes(values.tobytes())
        (folder / CONFIG).write_text(_signed(config.text(), hash_files(folder)), encoding="utf-8")


def _signed(text: str, files: Mapping[str, FileEntry]) -> str:
    """The configuration, after comments that list the model's files and hash what follows: nothing else is replaced."""
    listed = [f"{_LISTED}{entry.sha256} {entry.bytes} {name}" for name, entry in files.items()]
    rest = "\n".join([*listed, text])
    return f"{_SIGNED}{hashlib.sha256(rest.encode()).hexdigest()}\n{rest}"


def _foreign(folder: Path) -> str:
    """Name what is not of a model that was written here, or was changed since."""
    try:
        first, _, rest = (folder / CONFIG).read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return foreign_in(folder, {})
    if first != _SIGNED + hashlib.sha256(rest.encode()).hexdigest():
        return CONFIG if not first.startswith(_SIGNED) else f"{CONFIG}, which was edited,"
    lines = [line.removeprefix(_LISTED) for line in rest.splitlines() if line.startswith(_LISTED)]
    entries = [line.split(" ", 2) for line in lines]
    listed = {name: FileEntry(int(size), sha256) for sha256, size, name in entries}
    return foreign_in(folder, {**listed, CONFIG: hash_file(folder / CONFIG)})


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


def _notes(layout: Layout, why: str, max_batch: int, instances: int, artifact: Artifact) -> list[str]:
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


def _notes_on_time(artifact: Artifact) -> Iterator[str]:
    """What a client has to know of a stream: Triton's configuration has no field for it."""
    if artifact.stream is None:
        return
    time, multiple = artifact.stream.time, artifact.stream.multiple
    if multiple > 1:
        yield f"{time} of every request is a multiple of {multiple}."
    for name, timing in artifact.stream.timings.items():
        if timing.delay:
            yield f"The first {timing.delay} elements of '{name}' in a sequence mean nothing: it is late."
