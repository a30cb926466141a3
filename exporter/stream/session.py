"""Open the file of a bundle that is fed in chunks, in an ONNX Runtime session set up for single steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnxruntime as ort

from ..bundle.files import check_file, check_listed
from ..bundle.manifest import Manifest, read_manifest
from ..errors import BundleError, InterfaceError, first_line
from ..spec.artifact import Artifact
from ..spec.dims import Dim, parse
from ..spec.interface import expected_interface, wrong_names
from ..spec.metadata import wrong_metadata
from ..spec.signature import Signature, TensorSpec
from ..spec.streams import State, StreamSpec

_FATAL = 4


@dataclass(frozen=True)
class StepModel:
    """A loaded model that streams share.

    `session` runs steps. In a file with layers in the form "step" it was told that T is 1, and runs nothing else.
    `inputs` are what is fed, `states` what is carried. `outputs` are what is returned, each with the axes of the time:
    all but those that are states, or all where there is no other.
    """

    path: Path
    session: ort.InferenceSession
    steps_only: bool
    time: str | None
    inputs: dict[str, TensorSpec]
    outputs: dict[str, tuple[int, ...]]
    states: tuple[State, ...]
    spec: StreamSpec

    @cached_property
    def chunks(self) -> ort.InferenceSession:
        """The session for chunks of any length; where that is another one, it is opened when first used."""
        return _open(self.path, step_options()) if self.steps_only else self.session

    @property
    def symbols(self) -> tuple[str, ...]:
        """The dynamic dimensions but for the time."""
        found = dict.fromkeys(dim for spec in self.inputs.values() for dim in spec.symbols)
        return tuple(dim for dim in found if dim != self.time)


def step_options() -> ort.SessionOptions:
    """Session options for steps of a few microseconds; docs/internals/streaming.md has the measurements."""
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL
    # Handing a part of one step to another thread takes longer than computing it.
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    return options


def open_step_model(folder: Path, options: ort.SessionOptions | None) -> StepModel:
    """Load the file of a bundle that can be fed in chunks.

    Raises:
        BundleError: the folder is not a bundle, a file is not as it was written, or none has explicit states.
        InterfaceError: the file says something else than the manifest.
    """
    manifest = read_manifest(folder)
    name, artifact = streaming(folder, manifest)
    check_listed(folder, manifest, name)
    for file in manifest.files_of(name):
        check_file(folder / file, manifest.files[file])
    path = folder / name
    assert artifact.stream is not None
    time, states, unit = artifact.stream.time, artifact.stream.states, artifact.stream.multiple
    steps_only = options is None and artifact.unrolls
    if options is None:
        options = step_options()
        if steps_only and time is not None:
            options.add_free_dimension_override_by_name(time, 1)
    session = _open(path, options)
    _check(session, path, manifest.signature, artifact)
    carried = {name for state in states for name in (state.name, state.output)}
    kept = [name for name in manifest.outputs if name not in carried] or [*manifest.outputs]
    return StepModel(
        path,
        session,
        steps_only,
        time,
        {name: spec for name, spec in manifest.signature.inputs.items() if name not in carried},
        {name: time_axes(parse(manifest.outputs[name])[1], time) if unit == 1 else () for name in kept},
        states,
        artifact.stream,
    )


def _open(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own that have no common base
        raise BundleError(f"ONNX Runtime cannot load {path} ({first_line(error)}). Export it again.") from error


def _check(session: ort.InferenceSession, path: Path, signature: Signature, artifact: Artifact) -> None:
    """Check that the file says the same as the manifest: what is carried, and what a stream begins with.

    Raises:
        InterfaceError: it does not.
    """
    inputs, outputs = ([each.name for each in values] for values in (session.get_inputs(), session.get_outputs()))
    metadata = session.get_modelmeta().custom_metadata_map
    wrong = wrong_names(inputs, outputs, expected_interface(signature, artifact.stream, {}))
    wrong = wrong or wrong_metadata(metadata, signature, artifact.stream, artifact.added_metadata)
    if wrong:
        raise InterfaceError(f"{path.name} is not what its manifest says: {wrong}. Export the model again.")


def streaming(folder: Path, manifest: Manifest) -> tuple[str, Artifact]:
    """The file of a bundle that can be fed in chunks: its name, and what the manifest records about it.

    Raises:
        BundleError: there is none.
    """
    found = next((entry for entry in manifest.artifacts.items() if entry[1].stream is not None), None)
    if found is None:
        raise BundleError(
            f"{folder} has no file that can be fed in chunks; it holds {', '.join(manifest.artifacts)}. "
            "Export the model with `stateful=True`."
        )
    return found


def time_axes(dims: Sequence[Dim], time: str | None) -> tuple[int, ...]:
    """Which dimensions a step leaves out; a product such as `T*N` has no axis of its own for the time."""
    return tuple(axis for axis, dim in enumerate(dims) if dim == time and dim is not None)
