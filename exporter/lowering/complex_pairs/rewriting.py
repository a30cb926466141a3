"""Walk a captured program and replace each complex value by a pair: stored tensors, operators, loops and branches."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from ...errors import CaptureError
from ...pytorch.source_lines import at, node_line
from ...torch_internals.modules import HigherOrderOperator
from .rules import rule_of
from .stored import Stored, is_complex
from .writer import Pair, Writer


def complex_as_pairs(program: ExportedProgram) -> ExportedProgram:
    """The program without complex tensors; one that has none is returned as it is.

    Raises:
        CaptureError: an operator on complex tensors has no rule, or a buffer that forward writes to is complex.
    """
    if not any(_touches_complex(node) for node in _nodes(program)):
        return program
    program = _decomposed(program)
    stored = Stored(program)
    main = _GraphRewriter(program.graph_module, stored.fake_mode, stored.add)
    main.pairs.update(stored.pairs())
    main.run()
    stored.remove_complex()
    return program


def _nodes(program: ExportedProgram) -> list[Node]:
    modules = [module for module in program.graph_module.modules() if isinstance(module, GraphModule)]
    return [node for module in modules for node in module.graph.nodes]


def _touches_complex(node: Node) -> bool:
    return node.op != "output" and any(map(is_complex, [node, *node.all_input_nodes]))


def _decomposed(program: ExportedProgram) -> ExportedProgram:
    """The program with the operators on complex tensors that have no rule taken apart into ones that may have."""
    known = dict(torch.export.default_decompositions().items())
    tried: set[Any] = set()
    while True:
        found = {node.target for node in _nodes(program) if _touches_complex(node) and rule_of(node.target) is None}
        table = {target: known[target] for target in found - tried if target in known}
        if not table:
            return program
        tried |= set(table)
        program = program.run_decompositions(table)


class _GraphRewriter:
    """Rewrites one graph in place.

    Args:
        constant: returns a node of this graph that holds a constant, by its key.
    """

    def __init__(self, module: GraphModule, fake_mode: Any, constant: Callable[[str, Tensor], Node]) -> None:
        self._module, self._fake_mode = module, fake_mode
        self._writer = Writer(module.graph, fake_mode, constant)
        self.pairs: dict[Node, Any] = {}
        # The results of a loop that has been written anew, and where each of the old ones is among them.
        self._results: dict[Node, tuple[Node, Sequence[Any]]] = {}

    def run(self) -> None:
        replaced = [node for node in list(self._module.graph.nodes) if self._rewrite(node)]
        for node in reversed(replaced):
            self._module.graph.erase_node(node)
        self._module.graph.lint()
        self._module.recompile()

    def _rewrite(self, node: Node) -> bool:
        """Whether the node has been replaced."""
        if node.op == "output":
            node.args = (self._spread(node.args[0]),)
            return False
        if node.op != "call_function" or not (_touches_complex(node) or self._takes_pair(node)):
            return False
        with self._writer.before(node):
            result = self._replacement(node)
        if isinstance(result, Node):
            node.replace_all_uses_with(result)
        elif result is not None:
            self.pairs[node] = result
        return True

    def _takes_pair(self, node: Node) -> bool:
        return any(used in self.pairs or used in self._results for used in node.all_input_nodes)

    def _replacement(self, node: Node) -> Any:
        if isinstance(node.target, HigherOrderOperator):
            return self._rewrite_nested(node)
        if node.target is operator.getitem:
            source, index = node.args
            return self._picked(source, index)
        rule = rule_of(node.target)
        if rule is None:
            raise CaptureError(
                f"The model uses {node.target} on complex numbers{at(node_line(node))}, which has no ONNX form. "
                "Compute it from the real and the imaginary part (torch.view_as_real)."
            )
        args: Any = map_arg(node.args, self._given)
        return rule(self._writer, node, args, node.kwargs)

    def _given(self, node: Node) -> Any:
        return self.pairs.get(node, node)

    def _spread(self, arg: Any) -> Any:
        """An argument with both parts in the place of each complex node in its lists."""
        if not isinstance(arg, (list, tuple)):
            return arg
        found: list[Any] = []
        for each in arg:
            pair = self.pairs.get(each) if isinstance(each, Node) else None
            found += [pair.real, pair.imag] if pair is not None else [self._spread(each)]
        return type(arg)(found)

    def _picked(self, source: Any, index: Any) -> Any:
        call = self._writer.call
        if source not in self._results:
            pair = self.pairs[source]
            return Pair(call(operator.getitem, pair.real, index), call(operator.getitem, pair.imag, index))
        written, places = self._results[source]
        place = places[index]
        if isinstance(place, int):
            return call(operator.getitem, written, place)
        return Pair(*(call(operator.getitem, written, part) for part in place))

    def _rewrite_nested(self, node: Node) -> None:
        """A loop or a branch: its graphs take and return both parts, and the constants that they need as operands."""
        named = [arg.target for arg in node.args if isinstance(arg, Node) and arg.op == "get_attr"]
        modules = [module for name in named if isinstance(module := getattr(self._module, str(name)), GraphModule)]
        constants: dict[str, Tensor] = {}
        bodies = [_Body(module, self._fake_mode, constants) for module in modules]
        for body in bodies:
            body.take(constants)
        given: list[Any] = [self._spread(arg) for arg in node.args]
        needed = (self._writer.constant(key, value) for key, value in constants.items())
        given[-1] = type(given[-1])([*given[-1], *needed])
        values: list[Any] = []
        places: list[Any] = []
        for value in node.meta["val"]:
            parts = [self._writer.real_like(value) for _ in range(2)] if _is_complex_value(value) else [value]
            place = tuple(range(len(values), len(values) + len(parts)))
            places.append(place if len(parts) > 1 else place[0])
            values += parts
        args = self._distinct(tuple(given))
        self._results[node] = self._writer.node(node.target, args, {}, tuple(values)), places

    def _distinct(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The operands, no two of them one tensor, which PyTorch 2.13 confuses."""
        seen: set[Node] = set()

        def fresh(node: Node) -> Node:
            if node in seen:
                return self._writer.call(torch.ops.aten.clone.default, node)
            seen.add(node)
            return node

        distinct: tuple[Any, ...] = map_arg(args, fresh)
        return distinct


class _Body:
    """The graph of a loop or a branch, rewritten in place; `constants` gains those that it needs, by key."""

    def __init__(self, module: GraphModule, fake_mode: Any, constants: dict[str, Tensor]) -> None:
        self._module, self._fake_mode, self._constants = module, fake_mode, constants
        self._placeholders: dict[str, Node] = {}
        rewriter = _GraphRewriter(module, fake_mode, self._constant)
        complex_inputs = [node for node in self._inputs() if is_complex(node)]
        for node in complex_inputs:
            rewriter.pairs[node] = _split_placeholder(module, fake_mode, node)
        rewriter.run()
        for node in complex_inputs:
            module.graph.erase_node(node)

    def take(self, constants: Mapping[str, Tensor]) -> None:
        """Give the graph an input for each of these constants, last and in order."""
        for key, tensor in constants.items():
            node = self._constant(key, tensor)
            last = self._inputs()[-1]
            if node is not last:
                last.append(node)
        self._module.recompile()

    def _inputs(self) -> list[Node]:
        return [node for node in self._module.graph.nodes if node.op == "placeholder"]

    def _constant(self, key: str, tensor: Tensor) -> Node:
        if key not in self._placeholders:
            self._constants.setdefault(key, tensor)
            with self._module.graph.inserting_after(self._inputs()[-1]):
                node = self._module.graph.placeholder(key)
            node.meta["val"] = self._fake_mode.from_tensor(tensor, static_shapes=True)
            self._placeholders[key] = node
        return self._placeholders[key]


def _split_placeholder(module: GraphModule, fake_mode: Any, node: Node) -> Pair:
    writer = Writer(module.graph, fake_mode, _no_constant)
    parts: list[Node] = []
    for name in ("imag", "real"):
        with module.graph.inserting_after(node):
            part = module.graph.placeholder(f"{node.name}_{name}")
        part.meta["val"] = writer.real_like(node.meta["val"])
        parts.insert(0, part)
    return Pair(*parts)


def _no_constant(key: str, tensor: Tensor) -> Node:
    raise AssertionError(key)


def _is_complex_value(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_complex()
