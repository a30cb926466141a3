"""From marks to loops: what depends on a loop's step becomes the body of a `Scan` or `Loop`, a decision an `If`.

Constructs are numbered as they begin, so that the one with the highest number has no other inside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from ..capture.control_flow.operators import DOMAIN
from ..errors import InternalError
from ..optimize.graph import add_constant, captured, subgraphs
from .scan_inputs import Sequences

_BEGINNINGS = ("step", "carry")


def write_control_flow(model: ir.Model) -> None:
    """Replace all marks of a graph by loops and decisions."""
    graph = model.graph
    marks = [node for node in graph if node.domain == DOMAIN]
    if not marks:
        return
    for number in sorted({_number(node) for node in marks}, reverse=True):
        own = [node for node in graph if node.domain == DOMAIN and _number(node) == number]
        if any(node.op_type == "step" for node in own):
            _LoopWriter(graph, number, own).write()
        elif own and own[0].op_type == "choose":
            write_choice(graph, own)
    for node in reversed(list(graph)):
        if node.domain == DOMAIN or not any(map(_is_used, node.outputs)):
            graph.remove(node, safe=True)
    graph.sort()
    model.opset_imports.pop(DOMAIN, None)


def _number(node: ir.Node) -> int:
    return node.attributes.get_int("number", -1)


def reads(node: ir.Node) -> Iterator[ir.Value]:
    """What a node and the graphs inside it read."""
    for value in (*node.inputs, *captured(node)):
        if value is not None:
            yield value


def dependent(nodes: Iterable[ir.Node], roots: Iterable[ir.Value]) -> set[ir.Node]:
    """The nodes that depend on a value, of nodes in their order."""
    known, found = set(roots), set()
    for node in nodes:
        if any(value in known for value in reads(node)):
            found.add(node)
            known.update(node.outputs)
    return found


def needed(values: Iterable[ir.Value], within: set[ir.Node]) -> set[ir.Node]:
    """Those nodes of a set that some values are computed by."""
    queue, found = list(values), set()
    while queue:
        producer = queue.pop().producer()
        if producer in within and producer not in found:
            assert producer is not None
            found.add(producer)
            queue += reads(producer)
    return found


@dataclass
class _LoopWriter:
    """Writes one loop of a graph, whose marks are `marks`."""

    graph: ir.Graph
    number: int
    marks: Sequence[ir.Node]

    def write(self) -> None:
        for node in [node for node in self.marks if node.op_type == "leave"]:
            assert node.inputs[0] is not None
            ir.convenience.replace_all_uses_with(node.outputs[0], node.inputs[0], replace_graph_outputs=True)
            self.graph.remove(node, safe=True)
        for node in [node for node in self.marks if node.op_type == "collect"]:
            node.replace_input_with(1, None)
        for node in [node for node in self.marks if node.op_type == "close"]:
            self.graph.remove(node, safe=True)
        self.marks = [node for node in self.marks if node.op_type not in ("leave", "close")]
        ends = [node for node in self.marks if node.op_type not in _BEGINNINGS]
        roots = [node.outputs[0] for node in self.marks if node.op_type in _BEGINNINGS]
        inside = dependent((node for node in self.graph if node not in ends), roots)
        finals = [node for node in ends if node.op_type == "final"]
        body, carried = self._live(inside, ends, finals)
        kept = [node for node in finals if node.inputs[0] in carried]
        collects = [node for node in ends if node.op_type == "collect" and _is_used(node.outputs[0])]
        if not kept and not collects and not any(_is_used(node.outputs[0]) for node in ends):
            return
        for node in finals:
            if node not in kept:
                self.graph.remove(node, safe=True)
        self._check_closed(body, inside)
        write = self._loop if any(node.op_type == "steps" for node in ends) else self._scan
        made = write(body, kept, collects)
        self.graph.append(made)
        self.graph.sort()
        # They would keep what the loop begins with out of the branch of a decision that the loop is in.
        for node in [node for node in self.marks if node.op_type in _BEGINNINGS and node.graph is self.graph]:
            if not any(map(_is_used, node.outputs)):
                self.graph.remove(node, safe=True)

    def _live(
        self, inside: set[ir.Node], ends: Sequence[ir.Node], finals: Sequence[ir.Node]
    ) -> tuple[set[ir.Node], set[ir.Value]]:
        """The nodes of the body, and the carried values that they or what follows the loop need."""
        wanted = [value for node in ends if node.op_type == "steps" for value in node.inputs[1:2]]
        wanted += [node.inputs[0] for node in ends if node.op_type == "collect" and _is_used(node.outputs[0])]
        carried = {node.inputs[0] for node in finals if _is_used(node.outputs[0])}
        while True:
            after = [node.inputs[1] for node in finals if node.inputs[0] in carried]
            values = [value for value in (*wanted, *after) if value is not None]
            body = needed(values, inside)
            read = {value for node in body for value in reads(node)} | {*values}
            more = {node.inputs[0] for node in finals if node.inputs[0] in read} - carried
            if not more:
                return body, carried  # type: ignore[return-value]
            carried |= more

    def _check_closed(self, body: set[ir.Node], inside: set[ir.Node]) -> None:
        """Nothing outside may read what a step computes; what only leads nowhere is removed."""
        for node in reversed([node for node in self.graph if node in inside and node not in body]):
            if any(map(_is_used, node.outputs)) and node.domain != DOMAIN:
                raise InternalError(f"{node.name} reads what one step of a loop computes, outside of the loop.")
            if not any(map(_is_used, node.outputs)):
                self.graph.remove(node, safe=True)

    def _scan(self, body: set[ir.Node], finals: Sequence[ir.Node], collects: Sequence[ir.Node]) -> ir.Node:
        step = next(node for node in self.marks if node.op_type == "step")
        lengths = [node.outputs[0].shape[0] for node in collects if node.outputs[0].shape is not None]
        named = next((dim.value for dim in lengths if isinstance(dim, ir.SymbolicDim)), None)
        sequences = Sequences(self.graph, step, named or f"steps_{self.number}")
        ordered = [node for node in self.graph if node in body]
        sequences.read(ordered, {value for node in finals for value in node.inputs[:1] if value is not None})
        inner = self._states(finals)
        states = [value for value, _ in inner]
        nodes = [node for node in self.graph if node in body]
        elements = sequences.elements(nodes)
        graph = self._body(nodes, [*states, *(element for _, element, _, _ in elements)], finals, collects)
        attributes = {
            "body": ir.AttrGraph("body", graph),
            "num_scan_inputs": ir.AttrInt64("num_scan_inputs", len(elements)),
            "scan_input_axes": ir.AttrInt64s("scan_input_axes", [axis for _, _, axis, _ in elements]),
            "scan_input_directions": ir.AttrInt64s("scan_input_directions", [int(back) for *_, back in elements]),
        }
        inputs = [*(node.inputs[0].producer().inputs[0] for node in finals), *(outer for outer, *_ in elements)]  # type: ignore[union-attr]
        made = ir.Node(
            "", "Scan", inputs, attributes, num_outputs=len(finals) + len(collects), name=f"node_loop_{self.number}"
        )
        self._connect(made, [*finals, *collects])
        return made

    def _states(self, finals: Sequence[ir.Node]) -> list[tuple[ir.Value, ir.Value]]:
        """For each carried value that of the body, which then stands where the mark stood."""
        made = []
        for node in finals:
            mark = node.inputs[0]
            assert mark is not None
            value = ir.Value(name=f"{mark.name}.state", shape=mark.shape, type=mark.type)
            made.append((value, mark))
        return made

    def _body(
        self,
        nodes: Sequence[ir.Node],
        inputs: Sequence[ir.Value],
        finals: Sequence[ir.Node],
        collects: Sequence[ir.Node],
    ) -> ir.Graph:
        outputs = [(node.inputs[1], f"{node.name}.next") for node in finals]
        outputs += [(node.inputs[0], f"{node.name}.step") for node in collects]
        copies = []
        for value, name in outputs:
            assert value is not None
            copies.append(_copy(value, name))
        self.graph.remove(nodes)
        body = ir.Graph(
            inputs, [copy.outputs[0] for copy in copies], nodes=[*nodes, *copies], name=f"step_{self.number}"
        )
        for state, mark in zip(inputs, [node.inputs[0] for node in finals], strict=False):
            assert mark is not None
            _replace_within(body, mark, state)
        return body

    def _loop(self, body: set[ir.Node], finals: Sequence[ir.Node], collects: Sequence[ir.Node]) -> ir.Node:
        step = next(node for node in self.marks if node.op_type == "step")
        mark = next(node for node in self.marks if node.op_type == "steps")
        begin, again, count = mark.inputs
        assert begin is not None
        assert again is not None
        number = ir.Value(name=f"loop_{self.number}.number", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.INT64))
        going = ir.Value(name=f"loop_{self.number}.going", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.BOOL))
        inner = self._states(finals)
        ran = ir.Value(name=f"loop_{self.number}.ran", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.INT64))
        nodes = [node for node in self.graph if node in body]
        one = add_constant(self.graph, f"loop_{self.number}.one", np.array(1, np.int64))
        zero = add_constant(self.graph, f"loop_{self.number}.zero", np.array(0, np.int64))
        more = ir.node("Add", [number, one])
        more.outputs[0].name, more.outputs[0].type, more.outputs[0].shape = f"{ran.name}.next", ran.type, ran.shape
        states = [value for value, _ in inner]
        graph = self._body(nodes, states, finals, collects)
        graph.inputs[:] = [number, going, *states, ran]
        _replace_within(graph, step.outputs[0], number)
        condition = _copy(again, f"{going.name}.next")
        graph.extend([more, condition])
        outputs = list(graph.outputs)
        graph.outputs[:] = [condition.outputs[0], *outputs[: len(finals)], more.outputs[0], *outputs[len(finals) :]]
        inputs = [count, begin, *(node.inputs[0].producer().inputs[0] for node in finals), zero]  # type: ignore[union-attr]
        many = len(finals) + 1 + len(collects)
        made = ir.Node(
            "", "Loop", inputs, {"body": ir.AttrGraph("body", graph)}, num_outputs=many, name=f"node_loop_{self.number}"
        )
        self._connect(made, [*finals, mark, *collects])
        return made

    def _connect(self, made: ir.Node, marks: Sequence[ir.Node]) -> None:
        for output, mark in zip(made.outputs, marks, strict=True):
            old = mark.outputs[0]
            output.name, output.type, output.shape = f"{old.name}.{made.op_type.lower()}", old.type, old.shape
            ir.convenience.replace_all_uses_with(old, output, replace_graph_outputs=True)
        for mark in marks:
            self.graph.remove(mark, safe=True)


def write_choice(graph: ir.Graph, marks: Sequence[ir.Node]) -> None:
    """Write a decision: `Where` between what is computed anyway, else `If` with what only one way needs inside it."""
    _drop_unused(graph)
    marks = [mark for mark in marks if mark.graph is graph]
    if not marks:
        return
    loop = _loop_around(graph, marks)
    branches = [_only_for(graph, marks, side, loop) for side in (0, 1)]
    if all(map(_is_cheap, (*branches[0], *branches[1]))) and all(map(_can_be_where, marks)):
        for mark in marks:
            a, b, condition = mark.inputs
            where = ir.node("Where", [condition, a, b], name=mark.name)
            _take_over(graph, mark, where.outputs[0])
            graph.insert_before(mark, where)
            graph.remove(mark, safe=True)
        return
    attributes = []
    for side, name in ((0, "then_branch"), (1, "else_branch")):
        copies = [_copy(mark.inputs[side], f"{mark.name}.{name}") for mark in marks]  # type: ignore[arg-type]
        graph.remove(branches[side])
        inner = ir.Graph(
            [], [copy.outputs[0] for copy in copies], nodes=[*branches[side], *copies], name=f"{marks[0].name}.{name}"
        )
        attributes.append(ir.AttrGraph(name, inner))
    made = ir.Node("", "If", [marks[0].inputs[2]], attributes, num_outputs=len(marks), name=marks[0].name)
    graph.insert_before(marks[0], made)
    for mark, output in zip(marks, made.outputs, strict=True):
        _take_over(graph, mark, output)
        graph.remove(mark, safe=True)


def _drop_unused(graph: ir.Graph) -> None:
    """Remove what nothing reads: it would keep what one side alone needs out of its branch."""
    for node in reversed(list(graph)):
        if (node.domain != DOMAIN or node.op_type == "choose") and not any(map(_is_used, node.outputs)):
            graph.remove(node, safe=True)


def _take_over(graph: ir.Graph, mark: ir.Node, new: ir.Value) -> None:
    old = mark.outputs[0]
    new.name, new.type, new.shape = f"{old.name}.chosen", old.type, old.shape
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)


def _loop_around(graph: ir.Graph, marks: Sequence[ir.Node]) -> set[ir.Node] | None:
    """The nodes that depend on the innermost loop around a decision; None if there is none."""
    number = _number(marks[0])
    numbers = {_number(node) for node in graph if node.domain == DOMAIN and node.op_type == "step"}
    for outer in sorted((each for each in numbers if each < number), reverse=True):
        roots = [
            node.outputs[0]
            for node in graph
            if node.domain == DOMAIN and _number(node) == outer and node.op_type in _BEGINNINGS
        ]
        inside = dependent(graph, roots)
        if any(mark in inside for mark in marks):
            return inside
    return None


def _only_for(graph: ir.Graph, marks: Sequence[ir.Node], side: int, loop: set[ir.Node] | None) -> list[ir.Node]:
    """The nodes that only one side of a decision needs, in order; in a loop only what is computed in each step."""
    found: set[ir.Node] = set()
    owners = _owners(graph)
    for node in reversed(list(graph)):
        if node.domain == DOMAIN or (loop is not None and node not in loop):
            continue
        uses = [use for value in node.outputs for use in value.uses()]
        if not uses or any(value.is_graph_output() for value in node.outputs):
            continue
        if all(owners.get(use.node, use.node) in found or (use.node in marks and use.idx == side) for use in uses):
            found.add(node)
    return [node for node in graph if node in found]


def _owners(graph: ir.Graph) -> dict[ir.Node, ir.Node]:
    """For each node inside the graphs of another the one of `graph` that it is inside of."""
    return {
        inner: node for node in graph for body in subgraphs(node) for inner in ir.traversal.RecursiveGraphIterator(body)
    }


_CHEAP = {
    *(
        "Abs",
        "Add",
        "And",
        "Cast",
        "Clip",
        "Concat",
        "Constant",
        "Equal",
        "Exp",
        "Greater",
        "GreaterOrEqual",
        "Identity",
    ),
    *("Less", "LessOrEqual", "Max", "Min", "Mul", "Neg", "Not", "Or", "Relu", "Sigmoid", "Sub", "Tanh", "Unsqueeze"),
    *("Where", "Xor", "ConstantOfShape", "Expand", "Shape", "Div", "Squeeze", "Transpose"),
}
_MOST_CHEAP = 12


def _is_cheap(node: ir.Node) -> bool:
    return node.op_type in _CHEAP and node.domain == ""


def _can_be_where(mark: ir.Node) -> bool:
    """Whether both values have one shape, and are of a kind that ONNX Runtime's `Where` takes on the CPU."""
    if mark.outputs[0].dtype == ir.DataType.BOOL:
        return False
    shapes = [value.shape for value in mark.inputs[:2] if value is not None]
    if any(shape is None for shape in shapes):
        return False
    first, second = ([*map(str, shape)] for shape in shapes)  # type: ignore[arg-type]
    return first == second and "None" not in first


def _copy(value: ir.Value, name: str) -> ir.Node:
    node = ir.node("Identity", [value], name=name)
    node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = name, value.type, value.shape
    return node


def _replace_within(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    for node in ir.traversal.RecursiveGraphIterator(graph):
        for i, value in enumerate(node.inputs):
            if value is old:
                node.replace_input_with(i, new)


def _is_used(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()
