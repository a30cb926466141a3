"""The line that a model travels: capture, lower, optimize, save, verify, bundle."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import __version__
from .bundle import hash_file, read_bundle, replacing
from .capture import BakedSizeError, capture
from .capture.output_dims import spell
from .capture.outputs import name_outputs
from .errors import BundleError, CaptureError, ParityError
from .evaluation import check_deterministic, evaluating
from .loading import Source
from .lowering import OPSET, lower
from .lowering.scripted import lower_scripted
from .manifest import Artifact, Manifest, write_manifest
from .onnx_file import write_onnx
from .parity import (
    Case,
    Expected,
    Report,
    check,
    expect,
    make_cases,
    make_inputs,
    output_dims,
    traced_sizes,
    typical_errors,
)
from .passes import check_opset, optimize
from .runtimes import open_session
from .signature import Signature
from .stored_cases import FILE as CASES
from .stored_cases import write_cases
from .torchscript import Method, compile_torchscript

ONNX = "model.onnx"
TORCHSCRIPT = "model.pt"
WEIGHTS = "weights.safetensors"

Array = NDArray[np.generic]
Example = Mapping[str, Tensor | Array] | Sequence[Tensor | Array]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Exported:
    """What an export wrote: the folder, each file's size in bytes, the parity report, and what is to be said."""

    folder: Path
    files: Mapping[str, int]
    report: Report | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Prepared:
    """A model in evaluation mode that is known to run, with all that both kinds of export need."""

    model: nn.Module
    signature: Signature
    traced: Mapping[str, int]
    example: Mapping[str, Array] | None
    seed: int
    tensors: Mapping[str, Tensor]
    source: Source | None
    progress: Progress


def _silent(stage: str, done: int, total: int) -> None:
    pass


def export_onnx(
    model: nn.Module,
    signature: Signature,
    out: str | Path,
    *,
    example: Example | None = None,
    verify: bool = True,
    opset: int = OPSET,
    seed: int = 0,
    source: Source | None = None,
    progress: Progress = _silent,
) -> Exported:
    """Export a model to `model.onnx` in the bundle `out`, and prove it in ONNX Runtime on the CPU.

    Args:
        model: any `nn.Module`; it is exported in evaluation mode and left in the mode it had.
        signature: its inputs in the order of `forward`'s positional arguments; outputs without a name get one.
        out: the bundle's folder; an older bundle there is replaced in one step, or left alone on any error.
        example: real inputs, by name or in order, where random ones will not do; cases at other sizes are cut from it.
        verify: compare with PyTorch before anything is written.
        opset: of the standard ONNX operators.
        seed: for the values of the test cases.
        source: where the model came from, as `load` gives it, so that the bundle can be verified afresh.
        progress: called with a stage's name, and how much of it is done out of how much.

    Raises:
        ParityError: the exported model computes something else than PyTorch.
        CaptureError: the model cannot be exported as it stands.
        InputError: the model, signature, example, opset or folder does not fit.
    """
    check_opset(opset)
    with replacing(Path(out)) as folder, evaluating(model) as notes:
        prepared = _prepare(model, signature, example, seed, source, progress)
        graph, made_by, more = _onnx_graph(prepared)
        progress("optimize", 0, 1)
        optimize(graph, prepared.signature, opset)
        files = write_onnx(graph, folder / ONNX)
        artifact = Artifact("onnxruntime:cpu", made_by, opset, None)
        return _finish(prepared, folder, Path(out), artifact, files, [*notes, *more], verify)


def export_torchscript(
    model: nn.Module,
    signature: Signature,
    out: str | Path,
    *,
    example: Example | None = None,
    verify: bool = True,
    method: Method = "auto",
    seed: int = 0,
    source: Source | None = None,
    progress: Progress = _silent,
) -> Exported:
    """Export a model to `model.pt`, frozen TorchScript, in the bundle `out`, and prove it.

    Args:
        method: "script", "trace", or "auto": script, and where TorchScript cannot compile the model, trace.

    The other arguments and the errors are those of `export_onnx`.
    """
    with replacing(Path(out)) as folder, evaluating(model) as notes:
        prepared = _prepare(model, signature, example, seed, source, progress)
        progress("compile", 0, 1)
        compiled = compile_torchscript(model, prepared.tensors, method)
        compiled.module.save(str(folder / TORCHSCRIPT))
        if compiled.not_scripted:
            notes.append(f"Traced, not scripted. {compiled.not_scripted}")
        artifact = Artifact("torchscript", f"torch.jit.{compiled.method}", None, None)
        return _finish(prepared, folder, Path(out), artifact, [folder / TORCHSCRIPT], notes, verify)


def _prepare(
    model: nn.Module,
    signature: Signature,
    example: Example | None,
    seed: int,
    source: Source | None,
    progress: Progress,
) -> _Prepared:
    progress("check", 0, 1)
    arrays = None if example is None else _arrays(signature, example)
    traced = traced_sizes(signature, arrays)
    inputs = arrays or make_inputs(signature, Case(traced, "ordinary", seed))
    tensors = {name: torch.from_numpy(inputs[name].copy()) for name in signature.inputs}
    output = check_deterministic(model, tensors)
    named = name_outputs(model, output, signature)
    return _Prepared(model, named, traced, arrays, seed, tensors, source, progress)


def _arrays(signature: Signature, example: Example) -> dict[str, Array]:
    named = example if isinstance(example, Mapping) else dict(zip(signature.inputs, example, strict=False))
    return {name: np.asarray(value.detach() if isinstance(value, Tensor) else value) for name, value in named.items()}


def _onnx_graph(prepared: _Prepared) -> tuple[ir.Model, str, list[str]]:
    """The unoptimized graph, how it was made, and what is to be said about that."""
    prepared.progress("capture", 0, 1)
    try:
        program = capture(prepared.model, prepared.signature, prepared.tensors)
    except BakedSizeError as baked:
        return _scripted_graph(prepared, baked)
    prepared.progress("lower", 0, 1)
    return lower(program), "torch.export", []


def _scripted_graph(prepared: _Prepared, baked: BakedSizeError) -> tuple[ir.Model, str, list[str]]:
    try:
        graph = lower_scripted(prepared.model, prepared.signature, prepared.tensors)
    except CaptureError as not_scripted:
        raise CaptureError(f"{baked} {not_scripted}") from baked
    note = "A Python loop runs over a dynamic size: exported as an ONNX Loop, which is right but slow."
    return graph, "torch.jit.script and the deprecated exporter", [note]


def _finish(
    prepared: _Prepared,
    folder: Path,
    out: Path,
    artifact: Artifact,
    written: Sequence[Path],
    notes: list[str],
    verify: bool,
) -> Exported:
    """Verify the artifact, and complete the folder to a bundle."""
    name = written[0].name
    expected = _expected(prepared, everything=verify)
    report = _verify(prepared, folder, name, artifact, expected) if verify else None
    if report is not None and not report.passed:
        raise ParityError(report.failure, report)
    notes += _range_notes(prepared.signature)
    manifest = Manifest(
        name=prepared.source.name if prepared.source else type(prepared.model).__name__,
        signature=prepared.signature,
        outputs=_spelled(expected),
        source=_plain(prepared.source),
        weights_sha256=_write_weights(prepared, folder),
        artifacts={name: replace(artifact, parity=report.to_json() if report else None)},
        files={},
        cases=write_cases(folder / CASES, expected),
        typical={output: asdict(typical) for output, typical in typical_errors(expected).items()},
        versions=_versions(),
    )
    manifest = _carry_over(prepared, folder, out, manifest, expected, notes)
    listed = {path.name: hash_file(path) for path in sorted(folder.iterdir())}
    write_manifest(folder, replace(manifest, files=listed))
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return Exported(out, sizes, report, tuple(notes))


def _expected(prepared: _Prepared, *, everything: bool) -> list[Expected]:
    """All cases run through PyTorch; where nothing is verified, only the few that the bundle stores."""
    cases = make_cases(prepared.signature, prepared.traced, prepared.seed)
    chosen = cases if everything else cases[:3]
    found = []
    for item in expect(prepared.model, prepared.signature, chosen, prepared.example):
        found.append(item)
        prepared.progress("reference", len(found), len(chosen))
    return found


def _verify(prepared: _Prepared, folder: Path, name: str, artifact: Artifact, expected: Sequence[Expected]) -> Report:
    session = open_session(artifact.runtime, folder / name, prepared.signature.outputs)
    return check(
        session,
        expected,
        artifact=name,
        runtime=artifact.runtime,
        traced=prepared.traced,
        seed=prepared.seed,
        advance=lambda done: prepared.progress("verify", done, len(expected)),
    )


def _carry_over(
    prepared: _Prepared,
    folder: Path,
    out: Path,
    manifest: Manifest,
    expected: Sequence[Expected],
    notes: list[str],
) -> Manifest:
    """Keep the other artifacts of an older bundle of the same model, each verified again; say which are dropped."""
    if not out.exists():
        return manifest
    try:
        older = read_bundle(out)
    except BundleError:
        return manifest
    artifacts = dict(manifest.artifacts)
    for name, artifact in older.artifacts.items():
        if name in artifacts:
            continue
        files = [file for file in older.files if file == name or file.startswith(f"{name}.")]
        for file in files:
            shutil.copy2(out / file, folder / file)
        if not _is_same_model(older, manifest) or not _verify(prepared, folder, name, artifact, expected).passed:
            notes.append(f"{name} was of another model and is no longer in {out}.")
            for file in files:
                (folder / file).unlink()
        else:
            artifacts[name] = artifact
    return replace(manifest, artifacts=dict(sorted(artifacts.items())))


def _is_same_model(older: Manifest, newer: Manifest) -> bool:
    return (older.weights_sha256, older.signature, older.source) == (
        newer.weights_sha256,
        newer.signature,
        newer.source,
    )


def _write_weights(prepared: _Prepared, folder: Path) -> str:
    """Store the weights where the model can be built again from its source; returns their sha256."""
    state = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in prepared.model.state_dict().items()
        if isinstance(value, Tensor)
    }
    if prepared.source is None:
        return hashlib.sha256(safetensors.torch.save(state)).hexdigest()
    safetensors.torch.save_file(state, folder / WEIGHTS)
    return hash_file(folder / WEIGHTS).sha256


def _plain(source: Source | None) -> dict[str, Any] | None:
    """The source as JSON has it; None where an argument has no such form, for then it cannot be built again."""
    try:
        plain: dict[str, Any] | None = json.loads(json.dumps(asdict(source))) if source else None
    except TypeError:
        return None
    return plain


def _spelled(expected: Sequence[Expected]) -> dict[str, str]:
    first = next(item.reference for item in expected if item.reference is not None)
    return {name: spell(first.eager[name].dtype.name, dims) for name, dims in output_dims(expected).items()}


def _range_notes(signature: Signature) -> list[str]:
    return [
        f"'{name}' has no value range, so that the cases use 0 and 1 alone. "
        f"Write '{name}: {spec} in 0..HIGHEST' to test them all."
        for name, spec in signature.inputs.items()
        if not spec.is_float and spec.range is None
    ]


def _versions() -> dict[str, str]:
    return {
        "rnn-export": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
