"""An operator for loops that a value ends and whose steps put something out, which PyTorch lacks.

    COLLECTING_LOOP(body, go, carried, additional) -> (*carried, *stacks)

`body(*carried, *additional)` returns whether to go on (bool, 0-d), the carries after the step, and what it puts out,
which is stacked along dimension 0: [steps, ...], with no step if `go` is false. It is ONNX's `Loop`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch._higher_order_ops.utils import (
    _check_alias_and_mutation,
    _maybe_run_with_interpreter,
    check_meta_consistency,
    reenter_make_fx,
    unique_graph_id,
)
from torch._ops import HigherOrderOperator
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import ProxyTorchDispatchMode, disable_proxy_modes_tracing, track_tensor_tree

from .modules import tree_map

Body = Callable[..., Sequence[Tensor]]


class CollectingLoop(HigherOrderOperator):
    """The operator's class; `COLLECTING_LOOP` is the operator."""

    def __init__(self) -> None:
        super().__init__("rnn_export_collecting_loop")  # type: ignore[no-untyped-call]

    def __call__(self, body: Body, go: Tensor, carried: Sequence[Tensor], additional: Sequence[Any]) -> Any:
        if torch.is_grad_enabled() and not torch.compiler.is_exporting():  # gradients go through each step
            return collect(body, go, carried, additional)
        return super().__call__(body, go, tuple(carried), tuple(additional))  # type: ignore[no-untyped-call]


COLLECTING_LOOP: Any = CollectingLoop()


def collect(body: Body, go: Tensor, carried: Sequence[Tensor], additional: Sequence[Any]) -> tuple[Tensor, ...]:
    """What the operator computes, in Python."""
    values = tuple(carried)
    steps: list[Sequence[Tensor]] = []
    while go:
        go, *outputs = body(*values, *additional)
        values, collected = tuple(outputs[: len(values)]), outputs[len(values) :]
        steps.append(collected)
    if steps:
        return (*values, *map(torch.stack, zip(*steps, strict=True)))
    # What a step would put out tells the shape of a stack of none.
    _, *outputs = body(*values, *additional)
    return (*values, *(output.new_zeros((0, *output.shape)) for output in outputs[len(values) :]))


COLLECTING_LOOP.py_impl(DispatchKey.CompositeExplicitAutograd)(collect)


@COLLECTING_LOOP.py_autograd_impl  # type: ignore[untyped-decorator]
def _autograd(body: Body, go: Tensor, carried: Sequence[Tensor], additional: Sequence[Any]) -> Any:
    with torch._C._AutoDispatchBelowAutograd():
        return COLLECTING_LOOP(body, go, carried, additional)


@COLLECTING_LOOP.py_impl(ProxyTorchDispatchMode)  # type: ignore[untyped-decorator]
def _trace(
    mode: ProxyTorchDispatchMode, body: Body, go: Tensor, carried: Sequence[Tensor], additional: Sequence[Any]
) -> Any:
    with disable_proxy_modes_tracing():
        copies = tree_map(_forgetting, carried)
        graph = reenter_make_fx(body)(*copies, *additional)
    _, name = unique_graph_id(mode, prefix="collecting_loop_body")
    tracer: Any = mode.tracer
    tracer.root.register_module(name, graph)
    arguments = tree_map(tracer.unwrap_proxy, (graph, go, tuple(carried), tuple(additional)))
    proxy = tracer.create_proxy("call_function", COLLECTING_LOOP, arguments, {}, name="collecting_loop")
    outputs = COLLECTING_LOOP(graph, go, copies, additional)
    return track_tensor_tree(outputs, proxy, constant=None, tracer=tracer)


def _forgetting(value: Any) -> Any:
    """A copy that is not known to be a constant, which a carry is before the first step only."""
    if isinstance(value, Tensor):
        value = value.clone()
        if getattr(value, "constant", None) is not None:
            value.constant = None
    return value


@COLLECTING_LOOP.py_impl(FakeTensorMode)  # type: ignore[untyped-decorator]
def _fake(mode: FakeTensorMode, body: Body, go: Tensor, carried: Sequence[Tensor], additional: Sequence[Any]) -> Any:
    environment = mode.shape_env
    assert environment is not None
    with mode:
        with environment.ignore_fresh_unbacked_symbols():
            _, *outputs = body(*carried, *additional)
        values, collected = outputs[: len(carried)], outputs[len(carried) :]
        check_meta_consistency([*carried], [*values], "carried", "the same after a step", include_contiguity=False)
        if not collected:
            return tuple(values)
        steps = environment.create_unbacked_symint()
        torch._check(steps >= 0)
        return (*values, *(output.new_empty((steps, *output.shape)) for output in collected))


@COLLECTING_LOOP.py_functionalize_impl  # type: ignore[untyped-decorator]
def _functionalize(ctx: Any, body: Body, go: Tensor, carried: Sequence[Tensor], additional: Sequence[Any]) -> Any:
    go, carried, additional = (ctx.unwrap_tensors(each) for each in (go, tuple(carried), tuple(additional)))
    with ctx.redispatch_to_next():
        functional = ctx.functionalize(_maybe_run_with_interpreter(body))
        pre_dispatch = hasattr(ctx, "mode") and ctx.mode.pre_dispatch
        _check_alias_and_mutation(body, (*carried, *additional), "body", pre_dispatch)
        return ctx.wrap_tensors(COLLECTING_LOOP(functional, go, carried, additional))
