"""Lower `break`, `continue` and early `return` to flags, so that every block of a function runs to its end.

    for x in xs:                        broken = False
        if x > 3:                       for x in xs:
            break            ──>            broken = False
        h = h + x                           if x > 3:
    return h                                    broken = True
                                            else:
                                                h = h + x
                                        return h

What follows an `if` that always leaves moves into its other branch; what follows any other statement that may leave is
guarded by its flags.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# What rewritten source calls `flow`.
FLOW = "_rnn_export_flow"

RETURNED, RESULT = "_returned", "_result"

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


class UnsupportedError(Exception):
    """A function leaves from within a `match`, say, which flags cannot express."""


@dataclass(frozen=True)
class _Flags:
    """The flags of the loop that a statement is in, and the variables of which nobody asks after its `break`."""

    broken: str
    continued: str
    unread: tuple[str, ...]


def lower_exits(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """The body of a function whose one `return`, if it has any, is its last statement.

    A loop that `break` or `return` can leave has an attribute `flags`, the names of what tells that it was left.
    """
    lowering = _Lowering(body)
    if not any(isinstance(node, ast.Return) for statement in body[:-1] for node in _walk(statement)) and (
        not body or isinstance(body[-1], ast.Return) or not _leaves(body[-1], ast.Return)
    ):
        last = [body[-1]] if body and isinstance(body[-1], ast.Return) else []
        return [*lowering.block(body[: len(body) - len(last)], None), *last]
    result = ast.copy_location(ast.Return(_call_result()), body[-1])
    return [
        _assign(RETURNED, ast.Constant(False), body[0]),
        _forget(RESULT, body[0]),
        *lowering.block(body, None),
        result,
    ]


class _Lowering:
    def __init__(self, body: Sequence[ast.stmt]) -> None:
        self._body = body
        self._count = 0

    def block(self, statements: Sequence[ast.stmt], loop: _Flags | None) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for i, statement in enumerate(statements):
            rest = list(statements[i + 1 :])
            if isinstance(statement, ast.Return):
                value = statement.value or ast.Constant(None)
                return [*done, _assign(RESULT, value, statement), _assign(RETURNED, ast.Constant(True), statement)]
            if isinstance(statement, (ast.Break, ast.Continue)):
                assert loop is not None
                flag = loop.broken if isinstance(statement, ast.Break) else loop.continued
                unread = loop.unread if isinstance(statement, ast.Break) else ()
                # A step that ends a loop may leave another shape than the next one would begin with.
                return [
                    *done,
                    _assign(flag, ast.Constant(True), statement),
                    *(_forget(name, statement) for name in unread),
                ]
            flags = _flags(statement, loop)
            if flags and rest and isinstance(statement, ast.If) and (moved := _move_into_branch(statement, rest)):
                return [*done, *self.statement(moved, loop)]
            done += self.statement(statement, loop)
            if flags and rest:
                left: ast.expr = ast.BoolOp(ast.Or(), [ast.Name(flag, ast.Load()) for flag in flags])
                left = left.values[0] if len(flags) == 1 else left  # type: ignore[attr-defined]
                guard = ast.If(ast.UnaryOp(ast.Not(), left), self.block(rest, loop), [])
                return [*done, ast.copy_location(guard, rest[0])]
        return done

    def statement(self, node: ast.stmt, loop: _Flags | None) -> list[ast.stmt]:
        if isinstance(node, ast.If):
            return [
                ast.copy_location(ast.If(node.test, self.block(node.body, loop), self.block(node.orelse, loop)), node)
            ]
        if isinstance(node, (ast.For, ast.While)):
            return self._loop(node, loop)
        if isinstance(node, ast.With):
            return [ast.copy_location(ast.With(node.items, self.block(node.body, loop)), node)]
        if isinstance(node, ast.Try):
            return [self._try(node, loop)]
        if any(_leaves(node, kind) for kind in (ast.Return, ast.Break, ast.Continue)):
            raise UnsupportedError
        return [node]

    def _try(self, node: ast.Try, loop: _Flags | None) -> ast.Try:
        """What is left from its first block has no `else`; `finally` comes in any case."""
        flags = sorted({flag for statement in node.body for flag in _flags(statement, loop)})
        otherwise = self.block(node.orelse, loop)
        if flags and otherwise:
            stays: list[ast.expr] = [ast.UnaryOp(ast.Not(), ast.Name(flag, ast.Load())) for flag in flags]
            test = stays[0] if len(stays) == 1 else ast.BoolOp(ast.And(), stays)
            otherwise = [ast.copy_location(ast.If(test, otherwise, []), node.orelse[0])]
        handlers = [
            ast.copy_location(ast.ExceptHandler(each.type, each.name, self.block(each.body, loop)), each)
            for each in node.handlers
        ]
        made = ast.Try(self.block(node.body, loop), handlers, otherwise, self.block(node.finalbody, loop))
        return ast.copy_location(made, node)

    def _loop(self, node: ast.For | ast.While, outer: _Flags | None) -> list[ast.stmt]:
        self._count += 1
        unread = () if outer is not None else _unread_after(node, self._body)
        inner = _Flags(f"_broken_{self._count}", f"_continued_{self._count}", unread)
        body = self.block(node.body, inner)
        used = [name for name in (inner.broken, inner.continued) if _is_assigned(name, body)]
        returned = [RETURNED] if any(_leaves(child, ast.Return) for child in node.body) else []
        # A step begins only while no flag is set.
        resets = [_assign(name, ast.Constant(False), node) for name in (*used, *returned)]
        body = [*resets, *body]
        flags = [name for name in used if name == inner.broken] + returned
        new = _for(node, body, flags) if isinstance(node, ast.For) else _while(node, body, flags)
        done: list[ast.stmt] = [_assign(name, ast.Constant(False), node) for name in used]
        done.append(ast.copy_location(new, node))
        if node.orelse:
            otherwise = self.block(node.orelse, outer)
            if flags:
                left = [ast.UnaryOp(ast.Not(), ast.Name(name, ast.Load())) for name in flags]
                test = left[0] if len(left) == 1 else ast.BoolOp(ast.And(), list(left))
                otherwise = [ast.copy_location(ast.If(test, otherwise, []), node.orelse[0])]
            done += otherwise
        return done


def _for(node: ast.For, body: list[ast.stmt], flags: list[str]) -> ast.For:
    new = ast.For(node.target, node.iter, body, [])
    new.flags = flags  # type: ignore[attr-defined]
    return new


def _while(node: ast.While, body: list[ast.stmt], flags: list[str]) -> ast.While:
    new = ast.While(node.test, body, [])
    new.flags = flags  # type: ignore[attr-defined]
    return new


def exit_flags(node: ast.For | ast.While) -> list[str]:
    """The flags that say, after a step, that the loop was left."""
    return getattr(node, "flags", [])


def _unread_after(loop: ast.For | ast.While, body: Sequence[ast.stmt]) -> tuple[str, ...]:
    """The variables that a loop binds and that the function around it does not read once it has left the loop."""
    bound = {name for statement in loop.body for name in _names(statement, ast.Store)}
    inside = {id(node) for node in ast.walk(loop)}
    read = {
        name
        for statement in body
        for node in ast.walk(statement)
        if id(node) not in inside and getattr(node, "lineno", 0) >= loop.lineno
        for name in ([node.id] if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store) else [])
    }
    for node in (node for statement in body for node in ast.walk(statement)):
        if isinstance(node, _SCOPES):
            read |= {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            read |= set(node.names)
    return tuple(sorted(bound - read))


def _names(node: ast.AST, kind: type[ast.expr_context]) -> set[str]:
    return {child.id for child in _walk(node) if isinstance(child, ast.Name) and isinstance(child.ctx, kind)}


def _forget(name: str, at: ast.AST) -> ast.stmt:
    return _assign(name, ast.Attribute(ast.Name(FLOW, ast.Load()), "UNDEFINED", ast.Load()), at)


def _flags(statement: ast.stmt, loop: _Flags | None) -> list[str]:
    """The flags that tell, after a statement, that the block it is in was left."""
    flags = [RETURNED] if _leaves(statement, ast.Return) else []
    if loop is not None:
        flags += [loop.broken] if _leaves(statement, ast.Break) else []
        flags += [loop.continued] if _leaves(statement, ast.Continue) else []
    return flags


def _move_into_branch(node: ast.If, rest: list[ast.stmt]) -> ast.If | None:
    """The `if` with what follows it in the branch that does not leave; None if both may go on."""
    if _always_leaves(node.body):
        return ast.copy_location(ast.If(node.test, node.body, [*node.orelse, *rest]), node)
    if node.orelse and _always_leaves(node.orelse):
        return ast.copy_location(ast.If(node.test, [*node.body, *rest], node.orelse), node)
    return None


def _always_leaves(body: Sequence[ast.stmt]) -> bool:
    last = body[-1]
    if isinstance(last, ast.If):
        return bool(last.orelse) and _always_leaves(last.body) and _always_leaves(last.orelse)
    return isinstance(last, (ast.Return, ast.Break, ast.Continue, ast.Raise))


def _leaves(statement: ast.stmt, kind: type[ast.stmt]) -> bool:
    """Whether a statement holds a `return`, or a `break` or `continue` of a loop around it."""
    if isinstance(statement, kind):
        return True
    if isinstance(statement, _SCOPES):
        return False
    if isinstance(statement, (ast.For, ast.While)) and kind is not ast.Return:
        return any(_leaves(child, kind) for child in statement.orelse)
    children = (child for child in ast.iter_child_nodes(statement))
    return any(
        _leaves(child, kind)  # type: ignore[arg-type]
        for child in children
        if isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case))
    )


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is in it, without the functions and classes defined there."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _SCOPES):
            yield from _walk(child)


def _is_assigned(name: str, body: Sequence[ast.stmt]) -> bool:
    return any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
        for statement in body
        for node in _walk(statement)
    )


def _assign(name: str, value: ast.expr, at: ast.AST) -> ast.stmt:
    return ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], value), at)


def _call_result() -> ast.expr:
    """The result of a function, which is None where it ends without a `return`."""
    function = ast.Attribute(ast.Name(FLOW, ast.Load()), "result", ast.Load())
    return ast.Call(function, [ast.Name(RESULT, ast.Load())], [])
