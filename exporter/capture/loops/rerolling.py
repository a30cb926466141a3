"""Capturing a model at lengths that differ by one step, and rolling what repeats, for one size after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest

from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torch.fx.graph import CodeGen

from ...pytorch.bind import bind_inputs
from ...spec.signature import Signature
from ..decisions import deciding
from ..exporting import Bounds, export
from ..sizes import resized
from .alignment import RerolledLoop, Trace, find_loop
from .live_out import find_needs
from .outside import Outside
from .reading import read
from .repeats import UnlikeError, find_runs
from .scan import write_scan
from .values import Program

# Lengths to capture at: short, for every step is captured; longer where a convolution takes several steps at once.
_LENGTHS = (5, 12, 30)

# Loops within loops are captured step by step too.
_STEPS_AT_MOST = 200

# A loop may take one step for several of the input's, such as after a convolution with a stride.
_STEPS = (1, 2, 3, 4, 8)

Placed = tuple[RerolledLoop, tuple[int, int]]


def export_rolled(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], symbols: Sequence[str]
) -> tuple[ExportedProgram, Bounds]:
    """Capture a model that loops in Python over the sizes `symbols`, with these dynamic too.

    The program takes its inputs in the signature's order and returns a flat tuple. That it is right at every length is
    proved by the parity run, not here.

    Raises:
        UnlikeError: the steps of a loop are not alike.
        Exception: whatever `torch.export` raises for the model at fixed sizes.
    """
    first: Exception | None = None
    for length in _LENGTHS:
        if length ** len(symbols) > _STEPS_AT_MOST:
            break
        lengths = {name: length + i for i, name in enumerate(symbols)}
        try:
            return _Capture(model, signature, example, lengths).program(tuple(symbols), {})
        except Exception as error:  # the next length may be long enough
            first = first or error
    assert first is not None
    raise first


class _Capture:
    """Captures of one model at fixed sizes; `lengths` are those to begin with."""

    def __init__(
        self, model: nn.Module, signature: Signature, example: Mapping[str, Tensor], lengths: Mapping[str, int]
    ) -> None:
        self._model = model
        self._signature = signature
        self._example = example
        self._lengths = lengths

    def program(self, symbols: tuple[str, ...], fixed: Mapping[str, int]) -> tuple[ExportedProgram, Bounds]:
        """A program in which `symbols` are dynamic again while the sizes `fixed` are as given."""
        rolled = self._roll(symbols, fixed)
        signature, example = self._at(fixed)
        with deciding() as decisions:
            return export(rolled, signature, example, decisions)

    def _roll(self, symbols: tuple[str, ...], fixed: Mapping[str, int]) -> GraphModule:
        name, rest = symbols[0], symbols[1:]
        programs = (read(self._module(rest, {**fixed, name: self._lengths[name] + step})) for step in (0, *_STEPS))
        short, first = next(programs), next(programs)
        longer = (program for program in chain([first], programs) if len(program.ops) != len(short.ops))
        # Where no loop grows, the size is used as a number.
        return roll(short, next(longer, first))

    def _module(self, symbols: tuple[str, ...], fixed: Mapping[str, int]) -> GraphModule:
        if symbols:
            program, _ = self.program(symbols, fixed)
            return _flat(program, range(len(self._signature.inputs)))
        signature, example = self._at(fixed)
        with deciding() as decisions:
            program, _ = export(self._model, signature, example, decisions)
        order = bind_inputs(self._model, signature.inputs).order()
        return _flat(program, [order.index(name) for name in signature.inputs])

    def _at(self, fixed: Mapping[str, int]) -> tuple[Signature, dict[str, Tensor]]:
        """Signature and example with these sizes fixed."""
        inputs = {name: spec.fixed(fixed) for name, spec in self._signature.inputs.items()}
        example = {name: resized(self._example[name], spec, fixed) for name, spec in self._signature.inputs.items()}
        return Signature(inputs, self._signature.outputs, self._signature.states), example


def roll(short: Program, long: Program) -> GraphModule:
    """One module for all lengths, from a model at two lengths of which the longer takes one step more in each loop.

    Raises:
        UnlikeError: the two differ in another way than by steps that repeat.
    """
    sides = Trace(short.ops), Trace(long.ops)
    loops: list[Placed] = []
    for run in find_runs(short.ops, long.ops):
        try:
            loops.append(find_loop(*sides, run, len(loops)))
        except UnlikeError:
            # Loops one after the other over the same weights look like one.
            if run.parts == 1:
                raise
            for part in run.apart():
                loops.append(find_loop(*sides, part, len(loops)))
    return _write((short, long), sides, loops)


def _write(programs: tuple[Program, Program], sides: tuple[Trace, Trace], placed: Sequence[Placed]) -> GraphModule:
    """The shorter capture's module with its repeated steps rolled, and its sizes read from its inputs."""
    short, long = programs
    loops = [loop for loop, _ in placed]
    starts = {starts[0]: i for i, (_, starts) in enumerate(placed)}
    needs = find_needs(programs, sides, loops)
    outside = Outside(programs, sides, loops)
    for a, b in zip_longest(short.leaves, long.leaves):
        if a != b:
            raise UnlikeError("The model takes other constants at another length", None)
        outside.leaf(a, b)
    i = j = 0
    while i < len(short.ops):
        if i in starts:
            index, loop = starts[i], loops[starts[i]]
            outside.scans[index] = write_scan(index, loop, needs[index], outside)
            i, j = i + len(loop.ops) * loop.count[0], j + len(loop.ops) * loop.count[1]
        else:
            outside.op(short.ops[i], long.ops[j])
            i, j = i + 1, j + 1
    return outside.finish(short.output, long.output)


def _flat(program: ExportedProgram, order: Sequence[int]) -> GraphModule:
    """The program as a module that takes its tensors one by one, the `order`-th first, and returns a flat tuple."""
    module = program.module(check_guards=False)
    assert isinstance(module, GraphModule)
    graph = module.graph
    given = [node for node in graph.nodes if node.op == "placeholder"]
    with graph.inserting_before(next(iter(graph.nodes))):
        for i, position in enumerate(order):
            # No input has such a name, so that they are taken in order.
            placeholder = graph.placeholder(f"_tensor_{i}")
            placeholder.meta = given[position].meta
            given[position].replace_all_uses_with(placeholder)
    for node in given:
        graph.erase_node(node)
    graph.set_codegen(CodeGen())
    module.recompile()
    return module
