"""The three ways to ONNX, each judged by the same comparison at the same sizes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from rnn_export import CaptureError, ParityError, RnnExportError, Signature, export_onnx
from rnn_export.errors import first_line
from rnn_export.onnx_file import read_onnx
from rnn_export.parity.cases import make_cases
from rnn_export.parity.check import check
from rnn_export.parity.expected import expect
from rnn_export.parity.report import Report
from rnn_export.pytorch.bind import bind_inputs
from rnn_export.pytorch.evaluation import evaluating
from rnn_export.pytorch.job import ExportJob, prepare
from rnn_export.pytorch.request import ExportRequest, silent
from rnn_export.pytorch.run import suppress_output
from rnn_export.runtimes.open import open_session
from rnn_export.spec.size_expression import size_of
from torch import nn
from torch.export import Dim

from .model import Model, Result
from .stubs import stubbed

SEED = 0
RUNTIME = "onnxruntime:cpu"


def attempt(model: Model, way: str) -> Result:
    """One model, one way, in a folder of its own, with the same random weights and inputs every time."""
    torch.manual_seed(SEED)
    with suppress_output(), stubbed():
        module = model.build()
    with tempfile.TemporaryDirectory() as folder:
        return WAYS[way](module, model, Path(folder))


def ours(module: nn.Module, model: Model, folder: Path) -> Result:
    """`rnn_export.export_onnx`, which proves what it writes, and writes nothing that is wrong."""
    try:
        example = model.make_example()
        export_onnx(
            module, Signature(model.inputs), folder / "bundle", example=example, seed=SEED, stateful=model.stateful
        )
    except ParityError as error:
        failed = [case.case.name for case in error.report.cases if case.verdict == "FAIL"]
        return Result("refused", f"verification failed in case {failed[0]}" if failed else first_line(error))
    except RnnExportError as error:
        return Result("refused", first_line(error))
    return Result("right")


def dynamo(module: nn.Module, model: Model, folder: Path) -> Result:
    """`torch.onnx.export` as it is by default: with named dimensions and, where these are refused, with `Dim.AUTO`."""
    named = _stock(module, model, folder / "named.onnx", _dynamo_named)
    if named.outcome != "refused":
        return named
    auto = _stock(module, model, folder / "auto.onnx", _dynamo_auto)
    return named if auto.outcome == "refused" else Result(auto.outcome, auto.reason, how="with `Dim.AUTO`")


def deprecated(module: nn.Module, model: Model, folder: Path) -> Result:
    """`torch.onnx.export(dynamo=False)`, which traces."""
    return _stock(module, model, folder / "traced.onnx", _traced)


Way = Callable[[nn.Module, Model, Path], Result]
WAYS: Mapping[str, Way] = MappingProxyType({"ours": ours, "dynamo": dynamo, "deprecated": deprecated})


def _stock(module: nn.Module, model: Model, path: Path, export: Callable[[ExportJob, Path], object]) -> Result:
    with evaluating(module):
        try:
            given = ExportRequest(module, Signature(model.inputs), model.make_example(), None)
            prepared = prepare(given, seed=SEED, progress=silent)
        except (CaptureError, RnnExportError) as error:
            return Result("refused", f"not tried: {first_line(error)}")
        try:
            with suppress_output(), torch.no_grad():
                export(prepared, path)
        except Exception as error:  # the exporters raise whatever the captured code raises
            return Result("refused", _innermost(error))
        return _judge(prepared, path)


def _innermost(error: BaseException) -> str:
    """The error that began it: the exporters wrap it in several that say little."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {first_line(error)}"


def _judge(prepared: ExportJob, path: Path) -> Result:
    """The comparison; an input that an exporter left out because nothing reads it is not given."""
    cases = make_cases(prepared.signature, prepared.traced, SEED)
    try:
        session = open_session(RUNTIME, path, prepared.signature.outputs)
        kept = {value.name for value in read_onnx(path, weights=False).graph.input}
        expected = [
            replace(item, inputs={name: array for name, array in item.inputs.items() if name in kept})
            for item in expect(prepared.model, prepared.signature, cases, prepared.example)
        ]
        report = check(session, expected, artifact=path.name, runtime=RUNTIME, traced=prepared.traced, seed=SEED)
    except RnnExportError as error:
        return Result("cannot run", first_line(error))
    except KeyError as error:
        return Result("wrong", f"there is no output {error}")
    return _verdict(report)


def _verdict(report: Report) -> Result:
    """Wrong where one case gives something wrong in silence; "cannot run" where whatever fails says so."""
    if report.passed:
        return Result("right")
    failed = [case for case in report.cases if case.verdict == "FAIL"]
    silently = [case for case in failed if case.outputs]
    if silently:
        output = next(output for output in silently[0].outputs if not output.passed)
        # How far off is not the same on every machine.
        what = "is off" if output.reason.startswith("is off") else output.reason
        return Result("wrong", f"in case {silently[0].case.name} '{output.output}' {what}")
    return Result("cannot run", f"in case {failed[0].case.name}: {failed[0].note}" if failed else "no case")


def _dynamo_named(prepared: ExportJob, path: Path) -> None:
    _dynamo(prepared, path, {name: Dim(name) for name in prepared.signature.symbols})


def _dynamo_auto(prepared: ExportJob, path: Path) -> None:
    _dynamo(prepared, path, dict.fromkeys(prepared.signature.symbols, Dim.AUTO))


def _dynamo(prepared: ExportJob, path: Path, dims: Mapping[str, Any]) -> None:
    call = bind_inputs(prepared.model, prepared.signature.inputs)
    args, kwargs = call.arguments(prepared.tensors)
    shapes, named_shapes = call.arguments(_axes(prepared, dims))
    torch.onnx.export(
        prepared.model,
        args,
        path,
        kwargs=kwargs,
        dynamo=True,
        input_names=call.order(),
        output_names=list(prepared.signature.outputs),
        dynamic_shapes=(*shapes, *named_shapes.values()),
    )


def _traced(prepared: ExportJob, path: Path) -> None:
    call = bind_inputs(prepared.model, prepared.signature.inputs)
    args, kwargs = call.arguments(prepared.tensors)
    torch.onnx.export(
        prepared.model,
        args,
        path,
        kwargs=kwargs,
        dynamo=False,
        input_names=call.order(),
        output_names=list(prepared.signature.outputs),
        dynamic_axes=_axes(prepared, {name: name for name in prepared.signature.symbols}),
    )


def _dim(text: str, dims: Mapping[str, Any]) -> Any:
    """What a dynamic axis is called; a size that follows from others is computed from what these are called."""
    named = next(iter(dims.values()))
    if text in dims:
        return dims[text]
    return text if isinstance(named, str) else size_of(text, dims) if isinstance(named, Dim) else named


def _axes(prepared: ExportJob, dims: Mapping[str, Any]) -> dict[str, dict[int, Any]]:
    """Per input, what each dynamic axis is called."""
    return {
        name: {axis: _dim(dim, dims) for axis, dim in enumerate(spec.shape) if isinstance(dim, str)}
        for name, spec in prepared.signature.inputs.items()
    }
