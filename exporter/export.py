"""The line that a model travels: capture, lower, optimize, save, prove, bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

from .bundle.assemble import Exported, assemble
from .bundle.replace import replacing
from .capture.capture import Captured, capture
from .lowering.build import build_graph
from .lowering.forms import forms_for
from .lowering.torchscript import Method, compile_torchscript
from .lowering.translate import OPSET, translate
from .onnx_file import write_onnx
from .optimize.int8_weights import check_weights
from .optimize.opset import check_opset
from .pytorch.evaluation import as_python, check_same, check_tensors, evaluating, unwrap
from .pytorch.half import to_float16
from .pytorch.job import Example, ExportJob, ExportRequest, Progress, prepare, silent
from .pytorch.load import Source
from .spec.artifact import Artifact
from .spec.forms import Lowering, LoweringChoice, Target
from .spec.precision import choose_precision
from .spec.signature import Signature
from .tune import check_tuning, fastest

ONNX = "model.onnx"
WHOLE = "model.float32.onnx"
TORCHSCRIPT = "model.pt"


def export_onnx(
    model: nn.Module,
    signature: Signature,
    out: str | Path,
    *,
    example: Example | None = None,
    verify: bool = True,
    opset: int = OPSET,
    stateful: bool = False,
    quantize: str | None = None,
    precision: str | None = None,
    max_error: float | None = None,
    lowering: Lowering = "auto",
    target: Target = "cpu",
    tune: Sequence[Mapping[str, int]] = (),
    seed: int = 0,
    source: Source | None = None,
    progress: Progress = silent,
) -> Exported:
    """Export a model to `model.onnx` in the bundle `out`, and prove it in ONNX Runtime on the CPU.

    Args:
        model: any `nn.Module`; it is exported in evaluation mode and left in the mode it had.
        signature: its inputs, after `forward`'s arguments or in their order; outputs without a name get one.
        out: the bundle's folder; an older bundle there is replaced in one step, or left alone on any error.
        example: real inputs, by name or in order, where random ones will not do; cases at other sizes are cut from it.
        verify: compare with PyTorch before anything is written.
        opset: of the standard ONNX operators.
        stateful: make the hidden states of recurrent layers inputs and outputs, so that a stream can be fed in chunks.
        quantize: "int8" stores the weights of recurrent and linear layers so, with a scale per channel.
        precision: "float16" exports the model that `model.half()` makes, with float16 in and out.
        max_error: what either may cost, relative to each output's scale; None takes the bound of docs/precision.md.
        lowering: recurrent layers as ONNX's own operators, as `Scan`, or for each kind what is faster on the target.
        target: where the file is to run; it is proved on the CPU whatever the target.
        tune: sizes such as `{"T": 1, "N": 1}` to time the forms at on this machine, which then decides.
        seed: for the values of the test cases.
        source: where the model came from, as `load` gives it, so that the bundle can be verified afresh.
        progress: called with a stage's name, and how much of it is done out of how much.

    Raises:
        ParityError: the exported model computes something else than PyTorch.
        CaptureError: the model cannot be exported as it stands, or not be fed in chunks.
        UnavailableError: ONNX Runtime has no kernel for an operator of the model.
        InputError: the model, signature, example, opset, sizes to tune for or folder does not fit.
    """
    check_opset(opset)
    chosen = choose_precision(quantize, precision, max_error)
    int8 = quantize is not None
    forms = forms_for(lowering, target, stateful=stateful, int8=int8)
    check_tuning(signature, tune, lowering)
    original, asked = _asked(ExportRequest(unwrap(model), signature, example, source), precision)
    given, model = asked.model, as_python(asked.model)
    with (
        replacing(Path(out)) as folder,
        tempfile.TemporaryDirectory() as beside,
        evaluating(model) as notes,
        evaluating(given),
    ):
        prepared = prepare(replace(asked, model=model), seed=seed, progress=progress, original=original)
        if model is not given:
            check_same(given, model, prepared.tensors)
        notes.extend(_model_notes(prepared))
        captured = _capture(prepared, notes)
        progress("lower", 0, 1)
        translated = translate(captured, prepared.signature)
        build = partial(build_graph, translated, prepared.signature, opset=opset, stateful=stateful, int8=int8)
        graph, timings = fastest(build, forms, prepared, tune, int8=int8) if tune else (build(forms), [])
        notes += [str(timing) for timing in timings]
        notes += [f"'{name}' is a Scan: {why}." for name, why in graph.scan_only.items() if lowering == "native"]
        write_onnx(graph.model, folder / ONNX)
        check_weights(folder / ONNX, graph.quantized)
        graph = replace(graph, quantized={})  # for what follows needs their room
        choice = LoweringChoice(target, graph.forms, tuple(timings))
        artifact = Artifact(
            "onnxruntime:cpu", "torch.export", opset, captured.bounds, None, graph.stream, choice, chosen
        )
        whole = Path(beside) / WHOLE if int8 and verify else None
        if whole is not None:
            write_onnx(build({**forms, **graph.forms}, int8=False).model, whole)
        # The graph has the weights a second time, and rewrite rules hold on to it; what follows needs the room.
        for value in graph.model.graph.initializers.values():
            value.const_value = None
        return assemble(prepared, folder, Path(out), ONNX, artifact, notes, verify, whole)


def export_torchscript(
    model: nn.Module,
    signature: Signature,
    out: str | Path,
    *,
    example: Example | None = None,
    verify: bool = True,
    method: Method = "auto",
    precision: str | None = None,
    max_error: float | None = None,
    seed: int = 0,
    source: Source | None = None,
    progress: Progress = silent,
) -> Exported:
    """Export a model to `model.pt`, frozen TorchScript, in the bundle `out`, and prove it.

    Args:
        method: "script", "trace", or "auto": script, and where TorchScript cannot compile the model, trace.

    The other arguments and the errors are those of `export_onnx`.
    """
    chosen = choose_precision(None, precision, max_error)
    original, asked = _asked(ExportRequest(unwrap(model), signature, example, source), precision)
    model = asked.model
    with replacing(Path(out)) as folder, evaluating(model) as notes:
        prepared = prepare(asked, seed=seed, progress=progress, original=original)
        notes.extend(_model_notes(prepared))
        progress("compile", 0, 1)
        compiled = compile_torchscript(model, prepared.tensors, method)
        (folder / TORCHSCRIPT).write_bytes(compiled.archive)
        if compiled.not_scripted:
            notes.append(f"Traced, not scripted. {compiled.not_scripted}")
        notes += [f"Tracing fixed a decision that depends on values, at {place}." for place in compiled.fixed]
        artifact = Artifact("torchscript", f"torch.jit.{compiled.method}", None, {}, None, precision=chosen)
        return assemble(prepared, folder, Path(out), TORCHSCRIPT, artifact, notes, verify)


def _asked(given: ExportRequest, precision: str | None) -> tuple[ExportRequest | None, ExportRequest]:
    """What was given, where something else is exported in its place, and what is exported.

    Raises:
        LoadError: a tensor of the model cannot be exported.
    """
    check_tensors(given.model)
    if precision is None:
        return None, given
    original = replace(given, model=as_python(given.model))
    return original, to_float16(original)


def _capture(prepared: ExportJob, notes: list[str]) -> Captured:
    """The captured program; what is to be said of it is added to the notes."""
    prepared.progress("capture", 0, 1)
    captured = capture(prepared.model, prepared.signature, prepared.tensors)
    notes += [
        f"{name} is taken to be at most {bound['max']}: beyond it the model cannot run or takes another path."
        for name, bound in captured.bounds.items()
        if "max" in bound
    ]
    return captured


def _not_finite(model: nn.Module) -> list[str]:
    """Parameters that hold NaN or infinity, and buffers with NaN: infinity in one may be a mask."""
    parameters = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    return [*parameters, *(name for name, buffer in model.named_buffers() if buffer.isnan().any())]


def _model_notes(prepared: ExportJob) -> list[str]:
    bad = _not_finite(prepared.model)
    broken = bad if prepared.original is None else _not_finite(prepared.original.model)
    notes = [f"{name} of the model holds NaN or infinity. Was the training broken off?" for name in broken]
    notes += [f"{name} holds numbers that are too large for float16." for name in bad if name not in broken]
    if prepared.carries_state:
        notes.append(
            "The model keeps a state from call to call, which an exported one does not: each of its calls starts from "
            "the model as it is now. Take the state as an input and return it."
        )
    return notes
