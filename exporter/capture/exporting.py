"""`torch.export` with the named sizes of a signature dynamic, within the bounds that the model turns out to need."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.fx import Node

from ..calling import arrange
from ..quiet import quiet
from ..signature import Signature
from .outputs import returning_tensors
from .whole import WholeRecurrence

Bounds = dict[str, dict[str, int]]

# How often a bound may bring forth the next before the capture is given up.
_NARROWINGS = 8


def export(model: nn.Module, signature: Signature, example: Mapping[str, Tensor]) -> tuple[ExportedProgram, Bounds]:
    """Capture with sizes unbounded, or within the bounds that the model turns out to need (a convolution's, say).

    The program is functional: nothing in it writes to a tensor. Raises whatever `torch.export` raises.
    """
    bounds: Bounds = {}
    for _ in range(_NARROWINGS):
        try:
            return _export_within(model, signature, example, bounds), bounds
        except torch._dynamo.exc.UserError as error:
            narrower = {**bounds, **_suggested_bounds(str(error), bounds)}
            if narrower == bounds:
                raise
            bounds = narrower
    return _export_within(model, signature, example, bounds), bounds


def _export_within(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], bounds: Bounds
) -> ExportedProgram:
    dims = {name: Dim(name, **bounds.get(name, {})) for name in signature.symbols}
    args, kwargs = arrange(model, signature.inputs).arguments(example)
    collected = ShapesCollection()
    for name, spec in signature.inputs.items():
        collected[example[name]] = {axis: dims[dim] for axis, dim in enumerate(spec.shape) if isinstance(dim, str)}
    shapes = collected.dynamic_shapes(model, args, kwargs)
    with quiet(), torch.no_grad(), WholeRecurrence(), returning_tensors(model):
        program = torch.export.export(model, args, kwargs, dynamic_shapes=shapes, strict=False)
        return program.run_decompositions({}) if any(map(_mutates, program.graph.nodes)) else program


def _suggested_bounds(message: str, bounds: Bounds) -> Bounds:
    """Bounds in lines such as `T = Dim('T', min=3, max=300)`; nothing if another kind of change is suggested.

    Where nothing is suggested, a size that may not be 1 further on (T - 2 after a convolution) is bounded one higher.
    The graph computes such sizes all the same; the cases at these sizes tell whether it is right there.
    """
    suggestions = message.partition("Suggested fixes:")[2].strip().partition("\n\n")[0].splitlines()
    violated = re.search(r"Constraints violated \(([\w, ]+)\)", message)
    if not suggestions and violated and "!= 1" in message:
        least = {name: bounds.get(name, {}).get("min", 1) for name in violated[1].split(", ")}
        return {name: {**bounds.get(name, {}), "min": size + 1} for name, size in least.items()}
    found = {}
    for line in suggestions:
        match = re.fullmatch(r"\s*(\w+) = Dim\('\w+'((?:, (?:min|max)=\d+)+)\)\s*", line)
        if match is None:
            return {}
        found[match[1]] = {kind: int(number) for kind, number in re.findall(r"(min|max)=(\d+)", match[2])}
    return found


def _mutates(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable
