"""Call `torch.export` with the named sizes of a signature dynamic, within the bounds that the model needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from math import isqrt

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, ShapesCollection

from ..errors import CaptureError
from ..pytorch.bind import bind_inputs
from ..pytorch.outputs import returning_tensors
from ..pytorch.run import preserve_module_state, suppress_output
from ..pytorch.script.functions import functions_as_python
from ..spec.signature import Signature
from ..torch_internals.capture import (
    leaving_modules,
    suggested_bounds,
    uncached_operators,
    unwatched_buffers,
    user_error,
    violates_guard,
)
from ..torch_internals.control_flow import taking_constants
from ..torch_internals.modules import mutates
from .bodies import capturing_control_flow
from .decisions import Decisions
from .following_sizes import drop_sized, dynamic_dims, least_for, sized_inputs
from .packed import symbolic_batch
from .recurrent_layers import KeepRecurrentLayers
from .resizing import at_sizes, sizes_of
from .squeezes import Squeezes
from .substitutions import Substitutions

# The half and the quarter of a size beyond this are greater than 1 too, which PyTorch always asks.
FAR = 64
_PRIMES = (101, 89, 107, 83, 113, 79, 103, 109)


def at_other_sizes(signature: Signature, example: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The example at sizes that nothing in the model is likely to have."""
    fixed = {dim for spec in signature.inputs.values() for dim in spec.shape}
    primes = [prime for prime in _PRIMES if prime not in fixed]
    sizes = dict(zip(signature.symbols, primes, strict=False))
    return at_sizes(signature, example, sizes)


def _elsewhere(signature: Signature, example: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The example at those sizes, and where it is half as large or larger itself, beyond: the model may need it."""
    other = at_other_sizes(signature, example)
    yield other
    given, large = sizes_of(signature, example), sizes_of(signature, other)
    taken = {dim for spec in signature.inputs.values() for dim in spec.shape}
    far: dict[str, int] = {}
    for name, size in large.items():
        beyond = (prime for prime in count(2 * given[name] + 1) if _is_prime(prime) and prime not in taken)
        far[name] = size if size > 2 * given[name] else next(beyond)
        taken.add(far[name])
    if far != large:
        yield at_sizes(signature, example, far)


def _is_prime(number: int) -> bool:
    return all(number % factor for factor in range(2, isqrt(number) + 1))


Bounds = dict[str, dict[str, int]]

# How often one bound may lead to the next.
_MOST_NARROWINGS = 8


class BranchError(CaptureError):
    """The model branches on a named size."""


def export(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], decisions: Decisions
) -> tuple[ExportedProgram, Bounds]:
    """Capture a model; where PyTorch cannot reason about a computed size (strides, padding, chunks), trust it.

    A second capture, at sizes far from 1 that equal no others, assumes what PyTorch's own code needs to know of
    computed sizes; verification at many sizes tells whether the graph is right there. What the model's own code decides
    is not assumed, in whichever capture. The program is functional: nothing in it writes to a tensor.

    Args:
        decisions: from the enclosing `record_decisions` block.

    Raises:
        BranchError: the model branches on a named size.
        Exception: whatever `torch.export` raises.
    """
    try:
        program, bounds = _export_bounded(model, signature, example, {}, decisions)
    except user_error() as error:
        # If a size became a plain number, a loop may run over it, which larger sizes only make longer.
        if not violates_guard(error):
            raise
        if line := decisions.branch_of_any_example:
            raise _branching(line) from error
        far: Bounds = {name: {"min": FAR} for name in signature.symbols}
        made, fixed = [*decisions.made], dict(decisions.fixed)
        for elsewhere in _elsewhere(signature, example):
            try:
                program, bounds = _export_bounded(model, signature, elsewhere, far, decisions, trusting=True)
                break
            except Exception:  # the first error, and what was decided then, are about the example's own sizes
                decisions.made, decisions.fixed = [*made], dict(fixed)
        else:
            raise
        bounds = {name: {"max": bound["max"]} for name, bound in bounds.items() if "max" in bound}
    if decisions.branch:
        raise _branching(decisions.branch)
    return program, bounds


def _branching(line: str) -> BranchError:
    return BranchError(
        f"The model branches on a named size at {line}. Compute the same for all sizes (pad to a "
        "multiple, say, or choose with torch.where), or give the size as a number in the input."
    )


def _export_bounded(
    model: nn.Module,
    signature: Signature,
    example: Mapping[str, Tensor],
    bounds: Bounds,
    decisions: Decisions,
    *,
    trusting: bool = False,
) -> tuple[ExportedProgram, Bounds]:
    """Capture within these bounds, narrowed to those that the model turns out to need (a convolution's, say)."""
    for _ in range(_MOST_NARROWINGS):
        dims = _dims(signature, bounds)
        try:
            # The capture begins anew, within narrower bounds.
            decisions.made.clear()
            return _export_within(model, signature, example, dims, decisions.squeezes, trusting=trusting), bounds
        except user_error() as error:
            suggested = suggested_bounds(error, dims)
            narrower = {**bounds, **suggested}
            # The example has to be within them.
            sizes = sizes_of(signature, example)
            if narrower == bounds or any(bound.get("min", 0) > sizes[name] for name, bound in narrower.items()):
                raise
            bounds = narrower
    # A size that is divided by ten is another one only so many steps further on: as far as the example's.
    sizes = sizes_of(signature, example)
    bounds = {**bounds, **{name: {**bounds[name], "min": sizes[name]} for name in suggested}}
    return _export_within(
        model, signature, example, _dims(signature, bounds), decisions.squeezes, trusting=trusting
    ), bounds


def _dims(signature: Signature, bounds: Bounds) -> dict[str, Dim]:
    least = least_for(signature)
    bounded = {name: {**bounds.get(name, {})} for name in signature.symbols}
    for name, size in least.items():
        bounded[name]["min"] = max(size, bounded[name].get("min", 0))
    return {name: Dim(name, **bound) for name, bound in bounded.items()}


def _export_within(
    model: nn.Module,
    signature: Signature,
    example: Mapping[str, Tensor],
    dims: Mapping[str, Dim],
    squeezes: Squeezes,
    *,
    trusting: bool,
) -> ExportedProgram:
    args, kwargs = bind_inputs(model, signature.inputs).arguments(example)
    collected = ShapesCollection()
    for name, spec in signature.inputs.items():
        collected[example[name]] = dynamic_dims(name, spec, dims)
    shapes = collected.dynamic_shapes(model, args, kwargs)
    symbolic = symbolic_batch(model)
    with (
        suppress_output(),
        torch.no_grad(),
        preserve_module_state(model),
        unwatched_buffers(),
        uncached_operators(),
        leaving_modules(),
        symbolic,
        functions_as_python(),
        capturing_control_flow(Substitutions(squeezes), KeepRecurrentLayers()),
        returning_tensors(model),
        sized_inputs(model, signature),
    ):
        program = torch.export.export(
            model,
            args,
            kwargs,
            dynamic_shapes=shapes,
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=trusting,
        )
    with suppress_output(), torch.no_grad(), taking_constants():
        if any(mutates(node.target) for node in program.graph.nodes):
            program = program.run_decompositions({})
    drop_sized(program)
    return program
