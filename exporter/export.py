"""The line a model travels: load, capture, lower, optimize, save, verify, bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx
from msgspec import UNSET, structs
from torch import nn

from .bundle.assemble import Exported, assemble
from .bundle.replace import replacing
from .capture.capture import Captured
from .capture.growing import capture_growing
from .errors import FixedDecisionError, LoadError, RnnExportError
from .lowering.forms import check_lowering, forms_for
from .lowering.lower import OnnxGraph, build_graph
from .lowering.torchscript import Compiled, compile_torchscript
from .lowering.torchscript_stream import streaming_archive
from .lowering.translate import translate
from .onnx_file import write_onnx
from .optimize.opset import check_opset
from .optimize.quantization import check_weights
from .parity.artifact import ExportCheck
from .parity.cases import with_least
from .parity.report import Report
from .pytorch.evaluation import as_python, check_tensors, unwrap
from .pytorch.job import ExportJob, start_job
from .pytorch.made_cases import CaseMaker
from .pytorch.make_request import folder_for, request_for
from .pytorch.memory.missed import MissedError
from .pytorch.memory.places import Place
from .pytorch.memory.remembering import check_buffers, check_complete, own_states
from .pytorch.memory.requested import with_memory
from .pytorch.memory.streamed import streamed
from .pytorch.request import Example, ExportRequest, Progress, silent
from .pytorch.same_form import check_form
from .pytorch.scripted import code_to_eager
from .runtimes.torchscript import open_torchscript
from .spec.artifact import Artifact, Source
from .spec.forms import Forms, LoweringChoice
from .spec.options import OnnxOptions, TorchScriptOptions, options_of
from .spec.signature import Signature
from .spec.streams import State, StatelessError, StreamSpec
from .tune import check_tuning, fastest

__all__ = ["Exported", "export_onnx", "export_torchscript", "to_onnx"]

ONNX = "model.onnx"
# The same graph with the model's own weights, where the file has int8 ones; it is verified and thrown away.
FLOAT32 = "model.float32.onnx"
TORCHSCRIPT = "model.pt"


def export_onnx(
    model: nn.Module | str,
    signature: Signature | Mapping[str, str] | Sequence[str] | str,
    out: str | Path | None = None,
    options: OnnxOptions | None = None,
    *,
    example: Example | None = None,
    cases: CaseMaker | str | None = None,
    source: Source | None = None,
    progress: Progress = silent,
    **named: Any,
) -> Exported:
    """Export a model to `model.onnx` in the bundle `out`, and verify it in ONNX Runtime on the CPU.

    Args:
        model: any `nn.Module`; it is exported in evaluation mode and left in the mode it had. Or what `load` takes,
            such as `my.py:MyRNN` or a TorchScript archive.
        signature: its inputs, after `forward`'s arguments or in their order; outputs without a name get one. Without
            names for outputs, a dictionary of inputs or a text `x: float32[N, T, 100]` is enough.
        out: the bundle's folder, by default `artifacts/` and the model's name; an older bundle there is replaced in one
            step, or left alone on any error.
        options: how to export it.
        example: real inputs, by name or in order, where random ones will not do; cases at other sizes are cut from it,
            and a few random ones stand beside them.
        cases: a function, or where it is, as `file.py:make`, which makes the inputs of each case where they depend on
            one another: `make(sizes, seed)` returns an array for each input. Then there are ordinary cases alone.
        source: where the model came from, as `load` gives it, so that the bundle can be verified afresh.
        progress: called with a stage's name, and how much of it is done out of how much.
        **named: fields of `OnnxOptions`, in place of `options`: `export_onnx(model, signature, out, stateful=True)`.

    Raises:
        ParityError: the exported model does not compute what PyTorch computes.
        CaptureError: the model cannot be exported as it stands, or not be fed in chunks.
        UnavailableError: ONNX Runtime has no kernel for an operator of the model.
        InputError: the model, signature, example, options or folder does not fit.
    """
    options = options_of(OnnxOptions, options, named)
    request = request_for(model, signature, example, cases, source, options.seed)
    forms = _plan(options, request.signature)
    out = folder_for(out, request)
    export = partial(_exported, request, forms, out, options, progress)
    try:
        return _with_missed(export)
    except StatelessError:
        found = _rarely_written(request, options) if options.stateful else ()
        if not found:
            raise
        return _with_missed(export, found)


def _with_missed(export: Callable[[Sequence[Place]], Exported], also: Sequence[Place] = ()) -> Exported:
    """Export a model, again with what a capture of all its ways has shown that it writes."""
    while True:
        try:
            return export(also)
        except MissedError as missed:
            if {*missed.places} <= {*also}:
                raise
            also = (*also, *missed.places)


def _rarely_written(request: ExportRequest, options: OnnxOptions) -> Sequence[Place]:
    """What a model writes in ways that only a capture goes, where no call that was tried wrote anything."""
    try:
        with _python_job(request, options, silent, (), watched=True) as started:
            job, captured = _captured(started)
            check_complete(job.model)
            check_buffers(job.model, captured.program.graph_signature.buffers_to_mutate.values())
    except MissedError as missed:
        return missed.places
    except RnnExportError:  # then that the model has no state says more
        return ()
    return ()


def _exported(
    request: ExportRequest, forms: Forms, out: Path, options: OnnxOptions, progress: Progress, also: Sequence[Place]
) -> Exported:
    """Write a bundle.

    Args:
        also: what the model is known to write, as a capture of all its ways has shown, and carries from call to call.
    """
    with replacing(out) as folder, _python_job(request, options, progress, also) as started:
        job, captured = _captured(started)
        check_complete(job.model)
        if options.stateful:
            check_buffers(job.model, captured.program.graph_signature.buffers_to_mutate.values())
        build = _lowering(job, captured, options)
        int8 = options.quantize is not None
        graph, timings = fastest(build, forms, job, options.tune, int8=int8, target=options.target, opset=options.opset)
        write_onnx(graph.model, folder / ONNX)
        check_weights(folder / ONNX, graph.quantized)
        choice = LoweringChoice(options.target, graph.forms, tuple(timings))
        artifact = Artifact(
            runtime="onnxruntime:cpu",
            made_by="torch.export",
            opset=options.opset,
            bounds=captured.bounds,
            parity=None,
            stream=graph.stream,
            lowering=choice,
            precision=options.weights_precision(),
            accepted=tuple(options.accept),
            metadata=dict(options.metadata) or UNSET,
        )
        check = ExportCheck.of(job, artifact, captured.limits, verify=options.verify)
        if options.verify and options.quantize is not None:
            _check_float32(check, artifact, build, {**forms, **graph.forms})
        graph = graph.without_weights()
        report, artifact = check.demand(folder / ONNX, artifact) if options.verify else (None, artifact)
        check_complete(job.model)
        notes = (*job.notes, *check.notes, *_bound_notes(captured), *map(str, timings), *_form_notes(graph, options))
        return assemble(check, folder, out, ONNX, artifact, report, notes)


def to_onnx(
    model: nn.Module | str,
    signature: Signature | Mapping[str, str] | Sequence[str] | str,
    options: OnnxOptions | None = None,
    *,
    example: Example | None = None,
    cases: CaseMaker | str | None = None,
    **named: Any,
) -> onnx.ModelProto:
    """Export a model to ONNX without a folder, and verify it; arguments and errors are those of `export_onnx`."""
    with tempfile.TemporaryDirectory() as folder:
        exported = export_onnx(
            model, signature, Path(folder) / "bundle", options, example=example, cases=cases, **named
        )
        return onnx.load(exported.model)


def export_torchscript(
    model: nn.Module | str,
    signature: Signature | Mapping[str, str] | Sequence[str] | str,
    out: str | Path | None = None,
    options: TorchScriptOptions | None = None,
    *,
    example: Example | None = None,
    cases: CaseMaker | str | None = None,
    source: Source | None = None,
    progress: Progress = silent,
    **named: Any,
) -> Exported:
    """Export a model to `model.pt`, frozen TorchScript, in the bundle `out`, and verify it.

    Args:
        options: how to export it.
        **named: fields of `TorchScriptOptions`, in place of `options`.

    The other arguments and the errors are those of `export_onnx`, and besides:

    Raises:
        FixedDecisionError: a trace took one branch, or one number, for all inputs, and that is not accepted.
    """
    options = options_of(TorchScriptOptions, options, named)
    request = request_for(model, signature, example, cases, source, options.seed)
    out = folder_for(out, request)
    if options.stateful:
        request = streamed(request, options.seed)
    with (
        replacing(out) as folder,
        start_job(request, precision=options.precision, seed=options.seed, progress=progress) as job,
    ):
        progress("compile", 0, 1)
        compiled = compile_torchscript(job.model, job.tensors, "trace" if options.stateful else options.method)
        states = own_states(job.model, job.signature)
        archive = streaming_archive(compiled.archive, job.signature, states) if states else compiled.archive
        (folder / TORCHSCRIPT).write_bytes(archive)
        if not options.verify:  # an archive that does more than compute could not be verified later either
            open_torchscript(folder / TORCHSCRIPT, job.signature.outputs)
        artifact = Artifact(
            runtime="torchscript",
            made_by=f"torch.jit.{compiled.method}",
            opset=None,
            bounds={},
            parity=None,
            stream=_stream_of(job.signature, states),
            lowering=None,
            precision=options.weights_precision(),
            accepted=tuple(options.accept),
        )
        if states:  # a decision about a counter shows as a wrong answer too, which says less
            _check_decisions(compiled, options, None)
        check = ExportCheck.of(job, artifact, verify=options.verify)
        report, artifact = check.demand(folder / TORCHSCRIPT, artifact) if options.verify else (None, artifact)
        _check_decisions(compiled, options, report)
        check_complete(job.model)
        notes = (*job.notes, *check.notes, *_compile_notes(compiled))
        return assemble(check, folder, out, TORCHSCRIPT, artifact, report, notes)


def _stream_of(signature: Signature, states: Sequence[State]) -> StreamSpec | None:
    """How a TorchScript file that keeps these states is fed; None for one that keeps none."""
    time = "T" if "T" in signature.symbols else None
    return StreamSpec.of(time, states, states) if states else None


def _plan(options: OnnxOptions, signature: Signature) -> Forms:
    """The form of each kind of layer that the options ask for.

    Raises:
        InputError: an option is out of range, or two contradict each other.
    """
    check_opset(options.opset)
    int8 = options.quantize is not None
    check_lowering(options.lowering, options.target, options.opset)
    forms = forms_for(options.lowering, options.target, stateful=options.stateful, int8=int8)
    check_tuning(signature, options.tune, options.lowering)
    return forms


@contextmanager
def _python_job(
    request: ExportRequest, options: OnnxOptions, progress: Progress, also: Sequence[Place], *, watched: bool = False
) -> Iterator[ExportJob]:
    """A job whose model can be captured: TorchScript is taken back to Python. `watched` is that of `with_memory`.

    Raises:
        LoadError: it has no form in Python, or that computes something else.
    """
    given = unwrap(request.model)
    check_tensors(given)
    request = _in_python(replace(request, model=given), options.seed)
    if options.stateful:
        request = with_memory(request, options.seed, also, watched=watched)
    with start_job(request, precision=options.precision, seed=options.seed, progress=progress) as job:
        yield job


def _in_python(request: ExportRequest, seed: int) -> ExportRequest:
    """The request with a model in Python that computes the same: of the class that it was made from, else of its code.

    Raises:
        LoadError: there is none.
    """
    python = replace(request, model=as_python(request.model))
    if python.model is request.model:
        return request
    try:
        _check_form(request.model, python, seed)
    except LoadError:
        python = replace(request, model=as_python(request.model, code_to_eager))
        _check_form(request.model, python, seed)
    return python


def _check_form(given: nn.Module, python: ExportRequest, seed: int) -> None:
    with start_job(python, precision=None, seed=seed, progress=silent) as job:
        check_form(given, job)


def _captured(job: ExportJob) -> tuple[ExportJob, Captured]:
    """The captured model and the job at the sizes that it was captured at; its least sizes are those PyTorch runs."""
    job.progress("capture", 0, 1)
    job, captured = capture_growing(job)
    return job, replace(captured, bounds=with_least(captured.bounds, job.least))


def _lowering(job: ExportJob, captured: Captured, options: OnnxOptions) -> Callable[..., OnnxGraph]:
    """What makes the finished graph, for given forms of layers, with weights in int8 or in the model's own dtype."""
    job.progress("lower", 0, 1)
    translated = translate(captured, job.signature)
    return partial(
        build_graph,
        translated,
        job.signature,
        opset=options.opset,
        stateful=options.stateful,
        bounds=captured.bounds,
        own=own_states(job.model, job.signature),
        metadata=options.metadata,
        state_names=options.state_names,
    )


def _check_float32(check: ExportCheck, artifact: Artifact, build: Callable[..., OnnxGraph], forms: Forms) -> None:
    """Verify the same graph with float32 weights: what the int8 bound allows is then left to their rounding alone.

    Raises:
        ParityError: it does not compute what PyTorch computes.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FLOAT32
        write_onnx(build(forms, int8=False).model, file)
        check.demand(file, structs.replace(artifact, precision=None))


def _bound_notes(captured: Captured) -> list[str]:
    notes = {
        "min": "{} is at least {}: below it the model does not run.",
        "max": "{} is taken to be at most {}: beyond it the model cannot run, and the file raises an error.",
    }
    return [notes[end].format(name, size) for name, bound in captured.bounds.items() for end, size in bound.items()]


def _form_notes(graph: OnnxGraph, options: OnnxOptions) -> list[str]:
    """Layers that could not have the form that was asked for."""
    if options.lowering != "native":
        return []
    return [f"'{name}' is a Scan: {why}." for name, why in graph.scan_only.items()]


def _check_decisions(compiled: Compiled, options: TorchScriptOptions, report: Report | None) -> None:
    """See that a trace decided nothing, and left out no check that PyTorch fails at a size that was tried.

    Raises:
        FixedDecisionError: it did, and that is not accepted.
    """
    if "fixed-decision" in options.accept:
        return
    decisions, accepting = compiled.decisions, 'accept it with `accept=["fixed-decision"]`'
    if decisions.fixed:
        why = f" {compiled.not_scripted}" if compiled.not_scripted else ""
        raise FixedDecisionError(
            f"Tracing fixed a decision that depends on values or sizes, at {' and '.join(decisions.fixed)}: the file "
            "takes the same branch, or number, for every input. Use tensor operations there, such as torch.where, or "
            f"{accepting}.{why}"
        )
    lax = report.probed.lax if report is not None and report.probed is not None else ()
    if decisions.unchecked and lax:
        raise FixedDecisionError(
            f"Tracing left out the check at {' and '.join(decisions.unchecked)}: PyTorch refuses case {lax[0]}, and "
            f'the file does not. Script the model (`method="script"`), or {accepting}.'
        )


def _compile_notes(compiled: Compiled) -> list[str]:
    traced = [f"Traced, not scripted. {compiled.not_scripted}"] if compiled.not_scripted else []
    fixed = [f"Tracing fixed a decision that depends on values, at {at}." for at in compiled.decisions.fixed]
    return traced + fixed + [f"The trace leaves out the check at {at}." for at in compiled.decisions.unchecked]
