"""What each recurrent layer of a model computes in PyTorch, layer by layer, where a module holds several.

A layer is called as ONNX nodes are, `<module>.l<k>`; its values are `output` [T, N, D*H], `h_n` and `c_n` [D, N, H].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..pytorch.run import run_eager

Array = NDArray[np.generic]
Layers = dict[str, dict[str, Array]]
_KINDS = (nn.RNN, nn.GRU, nn.LSTM)
_FORWARDS = {kind.forward for kind in _KINDS}


def trace_layers(model: nn.Module, tensors: Mapping[str, Tensor]) -> Layers:
    """Run the model and give what each of its recurrent layers computed, in the order in which they ran.

    Left out are layers that ran more than once, over packed sequences or without a batch, and subclasses with a
    forward of their own: their values in a graph go by other names or have other shapes.
    """
    found: dict[str, list[dict[str, dict[str, Array]]]] = {}

    def record(name: str, module: nn.RNNBase, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x, hx = _arguments(*args, **kwargs)
        usual = dict(_unstacked(name, module, x, hx)) if isinstance(x, Tensor) and x.dim() == 3 else {}
        found.setdefault(name, []).append(usual)

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if isinstance(module, _KINDS) and type(module).forward in _FORWARDS:
                handle = module.register_forward_hook(
                    lambda module, args, kwargs, output, name=name: record(name, module, args, kwargs),
                    with_kwargs=True,
                )
                hooks.callback(handle.remove)
        run_eager(model, tensors)
    return {layer: values for runs in found.values() if len(runs) == 1 for layer, values in runs[0].items()}


def _arguments(input: Any, hx: Any = None) -> tuple[Tensor | PackedSequence, Any]:
    return input, hx


def _unstacked(name: str, module: nn.RNNBase, x: Tensor, hx: Any) -> Iterator[tuple[str, dict[str, Array]]]:
    """Run the layers of a module one by one, each alone."""
    y = x.transpose(0, 1) if module.batch_first else x
    states = () if hx is None else hx if isinstance(hx, tuple) else (hx,)
    directions = 2 if module.bidirectional else 1
    for k in range(module.num_layers):
        layer = _layer(module, k)
        given = tuple(state[k * directions : (k + 1) * directions].contiguous() for state in states)
        with torch.no_grad():
            y, after = layer(y, given if len(given) > 1 else next(iter(given), None))
        finals = after if isinstance(after, tuple) else (after,)
        values = zip(("output", "h_n", "c_n"), (y, *finals), strict=False)
        yield f"{name or 'rnn'}.l{k}", {value: tensor.numpy().copy() for value, tensor in values}


def _layer(module: nn.RNNBase, k: int) -> nn.RNNBase:
    """Layer k of a module as a module of its own, on the same weights."""
    inputs = int(getattr(module, f"weight_ih_l{k}").shape[1])
    options: dict[str, Any] = {"bias": module.bias, "bidirectional": module.bidirectional, "device": "meta"}
    if isinstance(module, nn.RNN):
        options["nonlinearity"] = module.nonlinearity
    if module.proj_size:
        options["proj_size"] = module.proj_size
    kind = next(kind for kind in _KINDS if isinstance(module, kind))
    layer: nn.RNNBase = kind(inputs, module.hidden_size, **options)
    for name in dict(layer.named_parameters()):
        weight = getattr(module, name.replace("_l0", f"_l{k}"))
        setattr(layer, name, nn.Parameter(weight.detach(), requires_grad=False))
    return layer
