"""Rewrite the source of a function so that its loops, decisions, calls and subscripts go through `flow`.

    def forward(self, x):                        def forward(self, x):
        h = self.h0                                  t = flow.UNDEFINED
        for t in range(len(x)):          ──>         h = self.h0
            h = self.cell(x[t], h)                   def target_1(item):
        return h                                         nonlocal t
                                                         t = item
                                                     def body_1():
                                                         nonlocal h
                                                         h = flow.call(self.cell)(flow.getitem(x, t), h)
                                                     flow.for_(flow.call(range)(flow.call(len)(x)), ...)
                                                     return h

With plain Python values everything computes what it did. Lines and file stay, so that an error still names the user's
line. AutoGraph does the same; what is written here besides keeps those lines, rewrites comprehensions and subscripts,
and leaves it to the run to see which variables a loop carries.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from .exits import FLOW, UnsupportedError, exit_flags, lower_exits

# What looks at the frame that calls it.
_FRAME_BOUND = {"super", "locals", "globals", "vars", "eval", "exec", "dir"}
_MADE = "_made_function"
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.GeneratorExp, ast.DictComp)


def rewritten(function: FunctionType, flow: Any) -> FunctionType | None:
    """The function with its control flow in calls of `flow`; None if its source is not at hand or not of that kind."""
    factory = _factory(function.__code__, function.__qualname__)
    if factory is None:
        return None
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    closure = tuple(cells[name] for name in factory.co_freevars)
    made: FunctionType = FunctionType(factory, function.__globals__, closure=closure)(flow)
    made.__defaults__, made.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    made.__dict__.update(function.__dict__)
    made.__name__ = function.__name__
    # PyTorch keeps the user's lines from the frame called forward on.
    made.__code__ = made.__code__.replace(co_name=function.__name__, co_qualname=function.__qualname__)
    made.__qualname__, made.__module__ = function.__qualname__, function.__module__
    made.__annotations__ = function.__annotations__
    return made


@cache
def _factory(code: CodeType, qualname: str) -> CodeType | None:
    """The code of a function that takes `flow` and returns the rewritten function."""
    if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        return None
    try:
        lines, first = inspect.getsourcelines(code)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return None
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        return None
    ast.increment_lineno(tree, first - 1)
    definition = tree.body[0]
    try:
        rewritten_definition = _Rewriter(_class_of(qualname)).function(definition)
    except UnsupportedError:
        return None
    return _code_of_factory(rewritten_definition, code)


def _class_of(qualname: str) -> str:
    scope = qualname.rpartition(".")[0]
    return "" if scope.endswith("<locals>") else scope.rpartition(".")[2]


def _code_of_factory(definition: ast.FunctionDef, code: CodeType) -> CodeType:
    # Under its own name it would stand before a global function of that name, which it may call.
    definition.name, definition.decorator_list, definition.returns = _MADE, [], None
    arguments = definition.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if argument is not None:
            argument.annotation = None
    # Defaults are those of the function that exists; a name has to have some where it had one.
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    arguments.kw_defaults = [None if default is None else ast.Constant(None) for default in arguments.kw_defaults]
    factory = _define("factory", [FLOW], [definition, ast.Return(ast.Name(definition.name, ast.Load()))])
    free = [_assign(name, ast.Constant(None)) for name in code.co_freevars]
    outer = _define("outer", [], [*free, factory, ast.Return(ast.Name("factory", ast.Load()))])
    module = ast.fix_missing_locations(ast.Module([ast.copy_location(outer, definition)], []))
    compiled = compile(module, code.co_filename, "exec", dont_inherit=True, flags=code.co_flags & _FUTURE)
    return _nested(_nested(compiled, "outer"), "factory")


_FUTURE = 0x1000000  # from __future__ import annotations


def _nested(code: CodeType, name: str) -> CodeType:
    return next(const for const in code.co_consts if isinstance(const, CodeType) and const.co_name == name)


class _Rewriter(ast.NodeTransformer):
    """Rewrites one function; a function defined in it is rewritten by one of its own."""

    def __init__(self, class_name: str, count: Callable[[], int] | None = None) -> None:
        self._class = class_name.lstrip("_")
        self._next = count or iter(range(1, 1_000_000)).__next__
        self._undefined: set[str] = set()
        self._pending: list[ast.stmt] = []
        self._in_lambda = False
        self._first_argument = ""

    def function(self, node: ast.FunctionDef) -> ast.FunctionDef:
        arguments = [*node.args.posonlyargs, *node.args.args]
        self._first_argument = arguments[0].arg if arguments else ""
        if any(isinstance(child, ast.Global) for child in _walk_scope(node.body)):
            raise UnsupportedError
        declared = [child for child in _walk_scope(node.body) if isinstance(child, ast.Nonlocal)]
        documented = 1 if ast.get_docstring(node) is not None else 0
        statements = [statement for statement in node.body[documented:] if statement not in declared]
        body = self._block(lower_exits(statements or [ast.copy_location(ast.Pass(), node)]))
        given = {argument.arg for argument in (*arguments, *node.args.kwonlyargs)}
        given |= {argument.arg for argument in (node.args.vararg, node.args.kwarg) if argument is not None}
        given |= {name for child in declared for name in child.names}
        undefined = [_assign(name, _flow("UNDEFINED")) for name in sorted(self._undefined - given)]
        node.body = [*declared, *undefined, *body]
        return node

    def _block(self, statements: Iterable[ast.stmt]) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for statement in statements:
            outer, self._pending = self._pending, []
            result = self.visit(statement)
            made = result if isinstance(result, list) else [result]
            done += [*self._pending, *made]
            self._pending = outer
        return done

    # Statements

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return _Rewriter(self._class, self._next).function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return node

    def visit_With(self, node: ast.With) -> ast.With:
        node.items = [self.visit(item) for item in node.items]
        node.body = self._block(node.body)
        return node

    def visit_Try(self, node: ast.Try) -> ast.Try:
        node.body, node.orelse = self._block(node.body), self._block(node.orelse)
        node.finalbody = self._block(node.finalbody)
        for handler in node.handlers:
            handler.body = self._block(handler.body)
        return node

    def visit_Match(self, node: ast.Match) -> ast.Match:
        node.subject = self.visit(node.subject)
        for case in node.cases:
            case.body = self._block(case.body)
        return node

    def visit_If(self, node: ast.If) -> list[ast.stmt]:
        number, names = self._next(), self._names([*node.body, *node.orelse])
        test = self.visit(node.test)
        then, orelse = f"_then_{number}", f"_else_{number}"
        return self._at(
            node.test,
            _define(then, [], [*_nonlocal(names), *self._block(node.body)]),
            _define(orelse, [], [*_nonlocal(names), *(self._block(node.orelse) or [ast.Pass()])]),
            *self._access(number, names),
            ast.Expr(_call(_flow("if_"), test, _load(then), _load(orelse), *self._accessors(number, names))),
        )

    def _stop(self, node: ast.For | ast.While) -> ast.expr:
        flags = exit_flags(node)
        return _lambda(self.visit(_any_of(flags))) if flags else ast.Constant(None)

    def visit_For(self, node: ast.For) -> list[ast.stmt]:
        number = self._next()
        targets, names = self._names([_assign_to(node.target)]), self._names(node.body)
        series = self.visit(node.iter)
        target, body = f"_target_{number}", f"_body_{number}"
        stop = self._stop(node)
        return self._at(
            node.iter,
            _define(target, ["_item"], [*_nonlocal(targets), ast.Assign([node.target], _load("_item"))]),
            _define(body, [], [*_nonlocal(names), *self._block(node.body)]),
            *self._access(number, names),
            ast.Expr(
                _call(
                    _flow("for_"), series, _load(target), _load(body), stop, *self._accessors(number, names),
                    ast.Tuple([ast.Constant(name) for name in targets], ast.Load()),
                )
            ),
        )  # fmt: skip

    def visit_While(self, node: ast.While) -> list[ast.stmt]:
        number, names = self._next(), self._names(node.body)
        test = _lambda(self.visit(node.test))
        body = f"_body_{number}"
        stop = self._stop(node)
        return self._at(
            node.test,
            _define(body, [], [*_nonlocal(names), *self._block(node.body)]),
            *self._access(number, names),
            ast.Expr(_call(_flow("while_"), test, _load(body), stop, *self._accessors(number, names))),
        )

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        message = ast.Constant(None) if node.msg is None else self.visit(node.msg)
        return ast.copy_location(
            ast.Expr(_call(_flow("assert_"), _lambda(self.visit(node.test)), _lambda(message))), node
        )

    def visit_Raise(self, node: ast.Raise) -> ast.stmt:
        self.generic_visit(node)
        if node.exc is not None and node.cause is None:
            node.exc = _call(_flow("raised"), node.exc)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        if len(node.targets) == 1 and isinstance(target := node.targets[0], ast.Subscript):
            value = self.visit(node.value)
            return ast.copy_location(
                ast.Expr(_call(_flow("setitem"), self.visit(target.value), self._index(target.slice), value)), node
            )
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """The annotation is left out: Python evaluates none of a variable, and takes none where it is nonlocal."""
        if not isinstance(node.target, ast.Name):
            self.generic_visit(node)
            return node
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return self.visit_Assign(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        value = self.visit(node.value)
        operator = ast.Constant(type(node.op).__name__)
        if isinstance(target := node.target, ast.Subscript):
            arguments = (self.visit(target.value), self._index(target.slice), operator, value)
            return ast.copy_location(ast.Expr(_call(_flow("augment_item"), *arguments)), node)
        read = ast.copy_location(_as_load(target), target)
        return ast.copy_location(
            ast.Assign([self.visit(target)], _call(_flow("augment"), self.visit(read), operator, value)), node
        )

    # Expressions

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if self._class and node.attr.startswith("__") and not node.attr.endswith("__"):
            node.attr = f"_{self._class}{node.attr}"
        if node.attr in ("item", "tolist") and isinstance(node.ctx, ast.Load):
            return ast.copy_location(_call(_flow(f"{node.attr}_method"), node.value), node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id in _FRAME_BOUND:
            if node.func.id == "super" and not node.args and self._first_argument:
                node.args = [_load("__class__"), _load(self._first_argument)]
            else:
                self.generic_visit(node)
            return node
        self.generic_visit(node)
        node.func = ast.copy_location(_call(_flow("call"), node.func), node)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if not isinstance(node.ctx, ast.Load):
            self.generic_visit(node)
            return node
        return ast.copy_location(_call(_flow("getitem"), self.visit(node.value), self._index(node.slice)), node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        if _binds(node):
            return node
        test, then, orelse = self.visit(node.test), self.visit(node.body), self.visit(node.orelse)
        return ast.copy_location(_call(_flow("if_exp"), test, _lambda(then), _lambda(orelse)), node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        if _binds(node):
            return node
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        values = [_lambda(self.visit(value)) for value in node.values]
        return ast.copy_location(_call(_flow(name), *values), node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return ast.copy_location(_call(_flow("not_"), node.operand), node) if isinstance(node.op, ast.Not) else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Mult) and (isinstance(node.left, ast.List) or isinstance(node.right, ast.List)):
            return ast.copy_location(_call(_flow("repeat"), node.left, node.right), node)
        name = _OPERATORS.get(type(node.op))
        if name is not None:
            return ast.copy_location(_call(_flow(name), node.left, node.right), node)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) == 1 and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            inside = _call(_flow("in_"), node.left, node.comparators[0])
            return ast.copy_location(inside if isinstance(node.ops[0], ast.In) else _call(_flow("not_"), inside), node)
        if _binds(node):
            return node
        if len(node.ops) == 1:
            return _compared(node)
        sides = [node.left, *node.comparators]
        pairs = [
            _compared(ast.Compare(left, [op], [right]))
            for left, op, right in zip(sides, node.ops, sides[1:], strict=False)
        ]
        return ast.copy_location(_call(_flow("and_"), *map(_lambda, pairs)), node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        outer, self._in_lambda = self._in_lambda, True
        self.generic_visit(node)
        self._in_lambda = outer
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return node

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp | ast.DictComp) -> ast.AST:
        """A function with the loops written out, defined before the statement and called in place."""
        if self._in_lambda or _binds(node) or any(generator.is_async for generator in node.generators):
            return node
        name = f"_comprehension_{self._next()}"
        made: ast.stmt
        if isinstance(node, ast.DictComp):
            empty: ast.expr = ast.Dict([], [])
            made = ast.Assign([ast.Subscript(_load("_made"), node.key, ast.Store())], node.value)
        else:
            empty = ast.List([], ast.Load())
            made = ast.Expr(_call(ast.Attribute(_load("_made"), "append", ast.Load()), node.elt))
        for generator in reversed(node.generators):
            for test in reversed(generator.ifs):
                made = ast.If(test, [made], [])
            made = ast.For(generator.target, generator.iter, [made], [])
        body = [_assign("_made", empty), made, ast.Return(_load("_made"))]
        definition = _define(name, [], body)
        for child in ast.walk(definition):
            ast.copy_location(child, node) if not hasattr(child, "lineno") else None
        ast.fix_missing_locations(ast.copy_location(definition, node))
        self._pending.append(self.visit_FunctionDef(definition))
        return ast.copy_location(_call(_load(name)), node)

    def _index(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Slice):
            parts = (node.lower, node.upper, node.step)
            return _call(_load("slice"), *(ast.Constant(None) if part is None else self.visit(part) for part in parts))
        if isinstance(node, ast.Tuple) and not any(isinstance(part, ast.Starred) for part in node.elts):
            return ast.Tuple([self._index(part) for part in node.elts], ast.Load())
        visited: ast.expr = self.visit(node)
        return visited

    # What blocks share

    def _names(self, statements: Sequence[ast.stmt]) -> list[str]:
        """The local variables that statements bind."""
        found = {name for node in _walk_scope(statements) for name in _bound(node)}
        self._undefined |= found
        return sorted(found)

    def _access(self, number: int, names: Sequence[str]) -> list[ast.stmt]:
        if not names:
            return []
        targets = ast.Tuple([ast.Name(name, ast.Store()) for name in names], ast.Store())
        setter = _define(f"_set_{number}", ["_values"], [*_nonlocal(names), ast.Assign([targets], _load("_values"))])
        return [setter]

    def _accessors(self, number: int, names: Sequence[str]) -> list[ast.expr]:
        """Arguments: the names, a function that reads them, one that sets them."""
        if not names:
            return [ast.Tuple([], ast.Load()), ast.Constant(None), ast.Constant(None)]
        constants = ast.Tuple([ast.Constant(name) for name in names], ast.Load())
        values = ast.Tuple([_load(name) for name in names], ast.Load())
        return [constants, _lambda(values), _load(f"_set_{number}")]

    def _at(self, node: ast.expr, *statements: ast.stmt) -> list[ast.stmt]:
        return [ast.copy_location(statement, node) for statement in statements]


# Operators that numbers of which only the sign is known have rules of their own for.
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Mod: "remainder",
    ast.FloorDiv: "quotient",
    ast.Pow: "power",
    ast.LShift: "shifted_left",
    ast.RShift: "shifted_right",
}


def _compared(node: ast.Compare) -> ast.expr:
    """A comparison as a call: of numbers with both sides, and of anything with None."""
    name, right = type(node.ops[0]).__name__, node.comparators[0]
    if name in ("Is", "IsNot") and isinstance(right, ast.Constant) and right.value is None:
        is_none = _call(_flow("is_none"), node.left)
        return ast.copy_location(is_none if name == "Is" else _call(_flow("not_"), is_none), node)
    if name not in ("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"):
        return node
    return ast.copy_location(_call(_flow("compare"), ast.Constant(name), node.left, node.comparators[0]), node)


def _bound(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
        return [node.id]
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ExceptHandler) and node.name:
        return []  # bound within the handler alone
    if isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
        return [node.name]
    return []


def _walk_scope(statements: Sequence[ast.AST]) -> Iterable[ast.AST]:
    """The nodes of statements, without what has a scope of its own."""
    for node in statements:
        yield node
        if not isinstance(node, (*_SCOPES, *_COMPREHENSIONS, ast.SetComp)):
            yield from _walk_scope(list(ast.iter_child_nodes(node)))


def _binds(node: ast.AST) -> bool:
    """Whether an expression binds a variable or is asynchronous, which a function around it would change."""
    return any(isinstance(child, (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)) for child in ast.walk(node))


def _as_load(target: ast.expr) -> ast.expr:
    if isinstance(target, ast.Name):
        return _load(target.id)
    assert isinstance(target, ast.Attribute)
    return ast.Attribute(target.value, target.attr, ast.Load())


def _assign_to(target: ast.expr) -> ast.stmt:
    return ast.Assign([target], ast.Constant(None))


def _any_of(names: Sequence[str]) -> ast.expr:
    loads: list[ast.expr] = [_load(name) for name in names]
    return loads[0] if len(loads) == 1 else ast.BoolOp(ast.Or(), loads)


def _nonlocal(names: Sequence[str]) -> list[ast.stmt]:
    return [ast.Nonlocal(list(names))] if names else []


def _define(name: str, arguments: Sequence[str], body: Sequence[ast.stmt]) -> ast.FunctionDef:
    args = ast.arguments([], [ast.arg(argument) for argument in arguments], None, [], [], None, [])
    return ast.FunctionDef(name, args, list(body), [], None, type_params=[])  # type: ignore[call-arg]


def _lambda(value: ast.expr) -> ast.expr:
    return ast.Lambda(ast.arguments([], [], None, [], [], None, []), value)


def _flow(name: str) -> ast.expr:
    return ast.Attribute(ast.Name(FLOW, ast.Load()), name, ast.Load())


def _call(function: ast.expr, *arguments: ast.expr) -> ast.Call:
    return ast.Call(function, list(arguments), [])


def _load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _assign(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)
