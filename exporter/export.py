"""The line that a model travels: capture, lower, optimize, save, prove, bundle."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
from torch import nn

from .assembly import Exported, assemble
from .bundle import replacing
from .capture import Bounds, capture
from .errors import InputError
from .evaluation import as_python, check_same, evaluating, unwrap
from .loading import Source
from .lowering import OPSET, lower
from .manifest import Artifact
from .onnx_file import write_onnx
from .passes import check_opset, describe, expose_states, optimize, quantize_weights
from .precision import choose_precision
from .preparation import Example, Prepared, Progress, prepare, silent
from .signature import Signature
from .torchscript import Method, compile_torchscript

__all__ = ["Exported", "export_onnx", "export_torchscript"]

ONNX = "model.onnx"
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
    max_error: float | None = None,
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
        max_error: what that may cost, relative to each output's scale; None takes the bound of docs/parity.md.
        seed: for the values of the test cases.
        source: where the model came from, as `load` gives it, so that the bundle can be verified afresh.
        progress: called with a stage's name, and how much of it is done out of how much.

    Raises:
        ParityError: the exported model computes something else than PyTorch.
        CaptureError: the model cannot be exported as it stands, or not be fed in chunks.
        UnavailableError: ONNX Runtime has no kernel for an operator of the model.
        InputError: the model, signature, example, opset or folder does not fit.
    """
    check_opset(opset)
    precision = choose_precision(quantize, max_error)
    given = unwrap(model)
    model = as_python(given)
    with replacing(Path(out)) as folder, evaluating(model) as notes, evaluating(given):
        prepared = prepare(model, signature, example=example, source=source, seed=seed, progress=progress)
        if model is not given:
            check_same(given, model, prepared.tensors)
        notes.extend(_state_notes(prepared))
        graph, bounds = _onnx_graph(prepared, notes, quantize)
        progress("optimize", 0, 1)
        optimize(graph, prepared.signature, opset)
        stream = expose_states(graph, prepared.signature) if stateful else None
        if precision is not None and not quantize_weights(graph):
            raise InputError("The model has no float32 weights that int8 could stand for. Leave --quantize out.")
        describe(graph, prepared.signature, stream)
        write_onnx(graph, folder / ONNX)
        artifact = Artifact("onnxruntime:cpu", "torch.export", opset, bounds, None, stream, precision)
        return assemble(prepared, folder, Path(out), ONNX, artifact, notes, verify)


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
    progress: Progress = silent,
) -> Exported:
    """Export a model to `model.pt`, frozen TorchScript, in the bundle `out`, and prove it.

    Args:
        method: "script", "trace", or "auto": script, and where TorchScript cannot compile the model, trace.

    The other arguments and the errors are those of `export_onnx`.
    """
    model = unwrap(model)
    with replacing(Path(out)) as folder, evaluating(model) as notes:
        prepared = prepare(model, signature, example=example, source=source, seed=seed, progress=progress)
        notes.extend(_state_notes(prepared))
        progress("compile", 0, 1)
        compiled = compile_torchscript(model, prepared.tensors, method)
        (folder / TORCHSCRIPT).write_bytes(compiled.archive)
        if compiled.not_scripted:
            notes.append(f"Traced, not scripted. {compiled.not_scripted}")
        notes += [f"Tracing fixed a decision that depends on values, at {place}." for place in compiled.fixed]
        artifact = Artifact("torchscript", f"torch.jit.{compiled.method}", None, {}, None)
        return assemble(prepared, folder, Path(out), TORCHSCRIPT, artifact, notes, verify)


def _onnx_graph(prepared: Prepared, notes: list[str], quantize: str | None) -> tuple[ir.Model, Bounds]:
    """The unoptimized graph, and within which sizes it holds; what is to be said is added to the notes."""
    prepared.progress("capture", 0, 1)
    captured = capture(prepared.model, prepared.signature, prepared.tensors)
    prepared.progress("lower", 0, 1)
    notes += [
        f"{name} is taken to be at most {bound['max']}: beyond it the model cannot run or takes another path."
        for name, bound in captured.bounds.items()
        if "max" in bound
    ]
    graph = lower(captured.program, quantize)
    # The capture has the inputs as PyTorch flattens forward's arguments.
    inputs = dict(zip(captured.inputs, graph.graph.inputs, strict=True))
    graph.graph.inputs[:] = [inputs[name] for name in prepared.signature.inputs]
    return graph, captured.bounds


def _state_notes(prepared: Prepared) -> list[str]:
    if not prepared.carries_state:
        return []
    return [
        "The model keeps a state from call to call, which an exported one does not: each of its calls starts from the "
        "model as it is now. Take the state as an input and return it."
    ]
