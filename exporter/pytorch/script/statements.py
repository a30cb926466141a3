"""A function of TorchScript as the lines of a Python function."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...torch_internals.script_code import Block, Function, Node, Place, Value
from .expressions import Expressions, Program
from .loops import CountedLoop, carried_values, counted
from .names import Names, assignment
from .namespace import EXCEPTIONS, NAMES
from .operators import unknown
from .plain import changes_list, plain_statement
from .text import grouped, literal, negated, tidy

_SKIPPED = ("prim::Constant", "prim::Print", "aten::warn")
_ANNOTATION = re.compile(r"(Tensor|int|float|bool|str|List|Optional|Tuple|Dict|[\[\], ])+")


@dataclass(frozen=True)
class Line:
    """A line of Python, without its indentation, and where what it does stands in the user's own source."""

    text: str
    depth: int
    place: Place | None


class Writer:
    """Writes one function."""

    def __init__(self, function: Function, program: Program) -> None:
        self._function = function
        self._program = program
        self._expressions = Expressions(function, program)
        self._text, self._inlining = self._expressions.text, self._expressions.inlining
        self._names = Names(set(NAMES))
        self._lines: list[Line] = []
        self._depth = 0
        # Whether what is written now is a condition, which is an expression or nothing.
        self._asking = False
        self._created: dict[int, str] = {}

    def write(self, name: str) -> list[Line]:
        """The whole function under this name.

        Raises:
            LoadError: something in it has no form in Python.
        """
        body = self._function.body
        first_default = len(body.parameters) - len(self._function.defaults)
        arguments = []
        for index, value in enumerate(body.parameters):
            if index == 0 and self._function.has_self:
                self._text[value.key] = self._names.fresh("self")
                arguments.append("self")
                continue
            self._text[value.key] = self._names.fresh(value.name)
            defaults = self._function.defaults[index - first_default :][:1] if index >= first_default else []
            given = "".join(f" = {literal(each)}" for each in defaults if not isinstance(each, torch.Tensor))
            annotation = f": {value.annotation}" if _ANNOTATION.fullmatch(value.annotation) else ""
            arguments.append(f"{self._text[value.key]}{annotation}{given}")
        self._emit(f"def {name}({', '.join(arguments)}):", None)
        self._depth = 1
        self._block(body)
        self._emit(f"return {self._last(body.returns[0])}", None)
        return self._lines

    def _emit(self, text: str, place: Place | None) -> None:
        self._lines.append(Line(tidy(text), self._depth, place))

    def _last(self, value: Value) -> str:
        """The expression for a value that is handed out at the end of a block, and used for the last time."""
        text = self._expressions.value(value)
        line = self._lines[-1] if self._lines else None
        named = f"{text} = "
        if line is None or line.depth != self._depth or not line.text.startswith(named):
            return text
        if self._inlining.uses(value) != 1:
            return text
        self._lines.pop()
        return line.text.removeprefix(named)

    def _block(self, block: Block) -> None:
        for node in block.nodes:
            self._node(node)

    def _node(self, node: Node) -> None:
        if node.kind in _SKIPPED:
            return
        if node.kind == "prim::If":
            self._branch(node)
        elif node.kind == "prim::Loop":
            self._loop(node)
        elif node.kind == "prim::RaiseException":
            self._emit(self._raised(node), node.place)
        elif node.kind == "prim::SetAttr":
            owner, given = self._expressions.values(node.inputs)
            self._emit(assignment(owner, node.name, given), node.place)
        elif changes_list(node):
            self._emit(plain_statement(node, self._expressions.values(node.inputs)), node.place)
        elif not self._is_alias(node) and not self._makes_object(node):
            self._assign(node)

    def _is_alias(self, node: Node) -> bool:
        return any(out.key in self._expressions.aliases.same for out in node.outputs)

    def _assign(self, node: Node) -> None:
        """Give the node's outputs a name each, or the expression where it may stand where it is used."""
        text = self._expressions.of(node)
        used = [self._inlining.uses(out) > 0 for out in node.outputs]
        if not any(used):
            if not self._inlining.is_pure(node):
                self._emit(text, node.place)
            return
        if len(used) == 1 and node.kind not in ("prim::TupleUnpack", "prim::ListUnpack"):
            self._assign_one(node, text)
            return
        for out, is_used in zip(node.outputs, used, strict=True):
            self._text[out.key] = self._names.fresh(out.name) if is_used else "_"
        spelled = ", ".join(self._text[out.key] for out in node.outputs)
        self._emit(f"({spelled},) = {text}" if len(used) == 1 else f"{spelled} = {text}", node.place)

    def _assign_one(self, node: Node, text: str) -> None:
        out = node.outputs[0]
        fixed = node.kind == "prim::GetAttr" and self._program.is_fixed(node.name)
        if fixed or self._inlining.stands_inline(node, asking=self._asking):
            self._text[out.key] = grouped(text)
            return
        self._text[out.key] = self._names.fresh(out.name)
        self._emit(f"{self._text[out.key]} = {text}", node.place)

    def _makes_object(self, node: Node) -> bool:
        """Write what makes an object of a class; whether that is what the node does."""
        if node.kind == "prim::CreateObject":
            self._created[node.outputs[0].key] = node.outputs[0].of
            return True
        first = node.inputs[0] if node.inputs else None
        if first is None or node.kind not in ("prim::CallMethod", "prim::Enter", "prim::Exit"):
            return False
        if ".torch.autograd.grad_mode." in first.of:
            return True  # gradients change no value
        if node.name != "__init__" or first.key not in self._created:
            return False
        given = ", ".join(self._expressions.values(node.inputs[1:]))
        self._text[first.key] = self._names.fresh(first.name)
        self._emit(f"{self._text[first.key]} = {self._program.new(first.of)}({given})", node.place)
        return True

    def _raised(self, node: Node) -> str:
        message, *kinds = node.inputs
        named = str(self._expressions.constant_of(kinds[0])).rpartition(".")[2] if kinds else ""
        kind = named if named in EXCEPTIONS else "RuntimeError"
        return f"raise {kind}({self._expressions.value(message)})"

    def _branch(self, node: Node) -> None:
        if short := self._short_circuit(node):
            self._text[node.outputs[0].key] = grouped(short)
            return
        outputs = [
            out for out in node.outputs if out.key not in self._expressions.aliases.same and self._inlining.uses(out)
        ]
        for out in outputs:
            self._text[out.key] = self._names.fresh(out.name)
        first, second = (self._body(block, outputs, node) for block in node.blocks)
        condition = self._expressions.condition(node.inputs[0])
        if first or second:
            self._emit(f"if {condition if first else negated(condition)}:", node.place)
            self._lines += first or second
        if first and second:
            self._emit("else:", node.place)
            self._lines += second

    def _body(self, block: Block, outputs: Sequence[Value], node: Node) -> list[Line]:
        """The lines of a branch, with an assignment for each of its outputs at the end."""
        before, self._lines = self._lines, []
        self._depth += 1
        self._block(block)
        last = self._lines[-1] if self._lines else None
        raises = last is not None and last.depth == self._depth and last.text.startswith("raise ")
        for out, given in zip(node.outputs, block.returns, strict=True):
            if out in outputs and not raises:
                self._emit(f"{self._text[out.key]} = {self._last(given)}", node.place)
        self._depth -= 1
        lines, self._lines = self._lines, before
        return lines

    def _short_circuit(self, node: Node) -> str:
        """`a and b` or `a or b`, where that is what a branch computes; empty otherwise."""
        if len(node.outputs) != 1 or node.outputs[0].kind != "BoolType" or not self._inlining.is_local(node.outputs[0]):
            return ""
        true, false = node.blocks
        for word, known, computed in (("and", false, true), ("or", true, false)):
            if known.nodes or self._expressions.constant_of(known.returns[0]) is not (word == "or"):
                continue
            before, kept, asking = self._lines, dict(self._text), self._asking
            self._lines, self._asking = [], True
            self._block(computed)
            written, self._lines, self._asking = self._lines, before, asking
            if not written:
                right = self._expressions.condition(computed.returns[0])
                return f"{self._expressions.condition(node.inputs[0])} {word} {grouped(right)}"
            self._text.clear()
            self._text.update(kept)
        return ""

    def _loop(self, node: Node) -> None:
        body, nodes = node.blocks[0], self._inlining.nodes
        carried = carried_values(node, self._expressions.aliases)
        for each in carried:
            start = self._expressions.value(each.initial)
            self._text[each.begin.key] = self._text[each.after.key] = self._names.fresh(each.begin.name)
            self._emit(f"{self._text[each.after.key]} = {start}", node.place)
        conditions = (node.inputs[1], body.returns[0])
        always = all(self._expressions.constant_of(each) is True for each in conditions)
        flag = "" if always else self._names.fresh("going")
        if flag:
            self._emit(f"{flag} = {self._expressions.value(node.inputs[1])}", node.place)
        loop = counted(node, nodes)
        self._head(node, loop, flag)
        self._depth += 1
        begin = len(self._lines)
        self._block(body)
        last = self._last if len(carried) == 1 and always else self._expressions.value
        pairs = [(self._text[each.begin.key], last(each.end)) for each in carried]
        pairs += [(flag, self._expressions.value(body.returns[0]))] * bool(flag)
        self._assign_at_once([pair for pair in pairs if pair[0] != pair[1]], node.place)
        if len(self._lines) == begin:
            self._emit("pass", node.place)
        self._depth -= 1

    def _head(self, node: Node, loop: CountedLoop | None, flag: str) -> None:
        """`for t in range(...)`, or `while going`."""
        step = node.blocks[0].parameters[0]
        if loop is None:
            if self._inlining.uses(step):
                raise unknown(node)
            self._emit(f"while {flag or True}:", node.place)
            return
        name = self._text[step.key] = self._names.fresh(loop.name)
        for each in loop.steps:
            self._expressions.aliases.same[each.key] = step.key
        self._emit(f"for {name} in range({', '.join(self._expressions.values(loop.range))}):", node.place)
        if flag:
            self._lines += [
                Line(f"if not {flag}:", self._depth + 1, node.place),
                Line("break", self._depth + 2, node.place),
            ]

    def _assign_at_once(self, pairs: Sequence[tuple[str, str]], place: Place | None) -> None:
        """Assignments one after the other, or in one where a later one needs what an earlier one replaces."""
        conflict = any(
            re.search(rf"\b{re.escape(name)}\b", text)
            for index, (name, _) in enumerate(pairs)
            for _, text in pairs[index + 1 :]
        )
        names, texts = [name for name, _ in pairs], [text for _, text in pairs]
        if conflict:
            self._emit(f"{', '.join(names)} = {', '.join(texts)}", place)
            return
        for name, text in pairs:
            self._emit(f"{name} = {text}", place)
