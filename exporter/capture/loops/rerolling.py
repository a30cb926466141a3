"""Capture a model at lengths that differ by one step and reroll its loops, for one size after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest

from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torch.fx.graph import CodeGen

from ...pytorch.bind import bind_inputs
from ...spec.signature import Signature
from ..decisions import record_decisions
from ..exporting import Bounds, export
from ..resizing import resized
from .alignment import RerolledLoop, find_loop
from .live_out import find_live_out
from .other_lengths import check_lengths
from .outer_graph import OuterGraph
from .reading import read
from .repeats import MismatchError, Trace, find_spans
from .scan import write_scan
from .values import Program

# Lengths to capture at: short ones, as every step is captured; longer ones where a convolution needs several steps.
_LENGTHS = (5, 12, 30)

# The most steps to capture, nested loops included.
_MOST_STEPS = 200

# How much longer the second capture is: a loop may take one step for several of the input's, as after a stride.
_LONGER_BY = (1, 2, 3, 4, 8)


def export_rerolled(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], symbols: Sequence[str]
) -> tuple[ExportedProgram, Bounds]:
    """Capture a model that loops in Python over the sizes `symbols`, with these dynamic too.

    The program takes its inputs in the signature's order and returns a flat tuple.

    Raises:
        MismatchError: the steps of a loop differ.
        OtherLengthError: the model computes something else at a length that was not captured.
        Exception: whatever `torch.export` raises for the model at fixed sizes.
    """
    first: Exception | None = None
    for length in _LENGTHS:
        if length ** len(symbols) > _MOST_STEPS:
            break
        lengths = {name: length + i for i, name in enumerate(symbols)}
        try:
            program, bounds = _Capture(model, signature, example, lengths).program(tuple(symbols), {})
            check_lengths(model, signature, example, program, lengths)
            return program, bounds
        except Exception as error:  # the next length may be long enough
            first = first or error
    assert first is not None
    raise first


class _Capture:
    """Captures of one model at fixed sizes, `lengths` for the shorter capture over each."""

    def __init__(
        self, model: nn.Module, signature: Signature, example: Mapping[str, Tensor], lengths: Mapping[str, int]
    ) -> None:
        self._model = model
        self._signature = signature
        self._example = example
        self._lengths = lengths

    def program(self, symbols: tuple[str, ...], fixed: Mapping[str, int]) -> tuple[ExportedProgram, Bounds]:
        """A program in which `symbols` are dynamic, at these `fixed` sizes of the others."""
        rerolled = self._reroll(symbols, fixed)
        signature, example = self._at(fixed)
        with record_decisions() as decisions:
            return export(rerolled, signature, example, decisions)

    def _reroll(self, symbols: tuple[str, ...], fixed: Mapping[str, int]) -> GraphModule:
        name, rest = symbols[0], symbols[1:]
        programs = (read(self._module(rest, {**fixed, name: self._lengths[name] + step})) for step in (0, *_LONGER_BY))
        short, first = next(programs), next(programs)
        longer = (program for program in chain([first], programs) if len(program.ops) != len(short.ops))
        # If no capture has more operations, there is no loop: the model uses the size as a number.
        return reroll(short, next(longer, first))

    def _module(self, symbols: tuple[str, ...], fixed: Mapping[str, int]) -> GraphModule:
        if symbols:
            program, _ = self.program(symbols, fixed)
            return flattened(program, range(len(self._signature.inputs)))
        signature, example = self._at(fixed)
        with record_decisions() as decisions:
            program, _ = export(self._model, signature, example, decisions)
        order = bind_inputs(self._model, signature.inputs).order()
        return flattened(program, [order.index(name) for name in signature.inputs])

    def _at(self, fixed: Mapping[str, int]) -> tuple[Signature, dict[str, Tensor]]:
        """The signature and the example with these sizes fixed."""
        inputs = {name: spec.fixed(fixed) for name, spec in self._signature.inputs.items()}
        given = self._signature.sizes({name: tensor.shape for name, tensor in self._example.items()})
        sizes = {**given, **fixed}
        example = {name: resized(self._example[name], spec, sizes) for name, spec in self._signature.inputs.items()}
        return Signature(inputs, self._signature.outputs, self._signature.states), example


def reroll(short: Program, long: Program) -> GraphModule:
    """One module for every length, from captures at two lengths of which the longer has one step more in each loop.

    Raises:
        MismatchError: the captures differ in more than that, or the steps of a loop differ.
    """
    traces = Trace(short.ops), Trace(long.ops)
    loops: list[RerolledLoop] = []
    for span in find_spans(short.ops, long.ops):
        try:
            loops.append(find_loop(*traces, span, len(loops)))
        except MismatchError:
            # Consecutive loops over the same weights look like one.
            if span.parts == 1:
                raise
            for part in span.split():
                loops.append(find_loop(*traces, part, len(loops)))
    return _write((short, long), traces, loops)


def _write(
    programs: tuple[Program, Program], traces: tuple[Trace, Trace], loops: Sequence[RerolledLoop]
) -> GraphModule:
    """The shorter capture's module with a scan for each loop, and with sizes read from its inputs."""
    short, long = programs
    starts = {loop.starts[0]: index for index, loop in enumerate(loops)}
    live_out = find_live_out(programs, traces, loops)
    outer = OuterGraph(short.module, traces, loops)
    for a, b in zip_longest(short.leaves, long.leaves):
        if a != b:
            raise MismatchError("its constants differ from one length to the next", None)
        outer.leaf(a, b)
    i = j = 0
    while i < len(short.ops):
        if i in starts:
            index, loop = starts[i], loops[starts[i]]
            outer.scans[index] = write_scan(index, loop, live_out[index], outer)
            i, j = i + len(loop.ops) * loop.count[0], j + len(loop.ops) * loop.count[1]
        else:
            outer.op(short.ops[i], long.ops[j])
            i, j = i + 1, j + 1
    return outer.finish(short.output, long.output)


def flattened(program: ExportedProgram, order: Sequence[int]) -> GraphModule:
    """The program as a module that takes its inputs as separate tensors, in this order, and returns a flat tuple."""
    module = program.module(check_guards=False)
    assert isinstance(module, GraphModule)
    graph = module.graph
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    with graph.inserting_before(next(iter(graph.nodes))):
        for i, position in enumerate(order):
            # No input of a signature has such a name, so that inputs are bound by position.
            placeholder = graph.placeholder(f"_tensor_{i}")
            placeholder.meta = inputs[position].meta
            inputs[position].replace_all_uses_with(placeholder)
    for node in inputs:
        graph.erase_node(node)
    graph.set_codegen(CodeGen())
    module.recompile()
    return module
