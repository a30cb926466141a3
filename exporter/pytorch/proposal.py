"""Propose what goes into a model that does not say so, from forward's arguments and its layers; each proposal has run.

What a proposal cannot know is which of two dynamic sizes is time where no layer says so: it is for people to confirm.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..spec.signature import Signature
from .bind import forward_signature
from .evaluation import evaluating
from .run import as_tensors, run_eager, suppress_output
from .samples import Case, make_inputs

Array = NDArray[np.generic]
Inputs = dict[str, str]

# Both must run; no size is another's, nor a likely width.
_SIZES = ({"N": 3, "T": 7, "U": 6}, {"N": 2, "T": 5, "U": 4})
_LONG = ({"N": 3, "T": 97, "U": 6}, {"N": 2, "T": 83, "U": 4})
# How many are tried, and of how many for one argument.
_MOST, _EACH = 150, 16
_LENGTHS = ("len", "lens", "lengths", "length", "seqlen", "seqlens")
_STATES = ("h", "h0", "h_0", "c", "c0", "hx", "hidden", "state", "states", "prev_state", "init_state", "initial_state")
_WORDS = ("token", "word", "ids", "text", "char", "src", "sentence")
_VOCABULARY = ("vocab_size", "num_embeddings", "n_tokens", "num_tokens", "n_chars", "vocabulary_size", "num_classes")


def propose_inputs(model: nn.Module, example: Mapping[str, Array] | Sequence[Array] | None = None) -> Inputs | None:
    """A description of each input that forward needs, by name, with which the model runs; None where none is found.

    Args:
        model: it is run in evaluation mode at small sizes.
        example: real inputs by name or in order, whose dtypes and fixed sizes a description has to fit.
    """
    needed = [
        name
        for name, parameter in forward_signature(model)[0].parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    given = example if isinstance(example, Mapping) else dict(zip(needed, example or (), strict=False))
    options = [[*_candidates(model, name, first=not i), *_as_given(name, given)] for i, name in enumerate(needed)]
    if not needed:
        return None
    with evaluating(model), suppress_output():
        for sizes in (_SIZES, _LONG):
            for proposed in itertools.islice(_combined(options), _MOST):
                if _fits(proposed, given) and all(_runs(model, proposed, each) for each in sizes):
                    return proposed
    return None


def _combined(options: Sequence[Sequence[Inputs]]) -> Iterator[Inputs]:
    """One description of each argument, the likeliest together first."""
    ranks = itertools.product(*(range(min(len(each), _EACH)) for each in options))
    for chosen in sorted(ranks, key=sum):
        parts = [each[rank] for each, rank in zip(options, chosen, strict=True)]
        yield {name: spec for part in parts for name, spec in part.items()}


def _candidates(model: nn.Module, name: str, *, first: bool) -> Iterator[Inputs]:
    """Descriptions of one argument, the likeliest first."""
    words = name.lower().split("_")
    if any(word in _LENGTHS for word in words):
        yield from ({name: f"int64[N] in 1..T{order}"} for order in ("", " descending"))
    elif "mask" in words:
        yield from ({name: f"{kind}[{dims}]{values}"} for kind, values in _MASKS for dims in ("N, T", "T, N"))
    elif name.lower() in _STATES:
        yield from _states(model, name)
    layers = sorted(model.modules(), key=lambda each: -getattr(each, "num_embeddings", 0))
    found = list(dict.fromkeys(itertools.chain(*(_takes(layer, model) for layer in layers))))
    found += [spec for spec in _bare(model) if spec not in found]
    if any(word in name.lower() for word in _WORDS):
        found.sort(key=lambda spec: not spec.startswith("int"))
    for spec in found:
        if not first and "T" in spec:
            yield {name: spec.replace("T", "U")}
        yield {name: spec}


_MASKS = (("bool", ""), ("float32", " in {0, 1}"))


def _states(model: nn.Module, name: str) -> Iterator[Inputs]:
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            rows = module.num_layers * (2 if module.bidirectional else 1)
            state = f"float32[{rows}, N, {module.proj_size or module.hidden_size}]"
            both = {f"{name}.0": state, f"{name}.1": f"float32[{rows}, N, {module.hidden_size}]"}
            yield both if isinstance(module, nn.LSTM) else {name: state}
        elif isinstance(module, nn.RNNCellBase):
            state = f"float32[N, {module.hidden_size}]"
            yield {f"{name}.0": state, f"{name}.1": state} if isinstance(module, nn.LSTMCell) else {name: state}


def _takes(module: nn.Module, model: nn.Module) -> Iterator[str]:
    """What a layer takes, with the time dimension where the recurrent layers of the model have it."""
    batch_first = next((each.batch_first for each in model.modules() if isinstance(each, nn.RNNBase)), True)
    orders = ("N, T", "T, N") if batch_first else ("T, N", "N, T")
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        yield from (f"int64[{order}] in 0..{module.num_embeddings - 1}" for order in orders)
        yield f"int64[N] in 0..{module.num_embeddings - 1}"
    elif isinstance(module, nn.RNNBase):
        order = "N, T" if module.batch_first else "T, N"
        yield f"float32[{order}, {module.input_size}]"
    elif isinstance(module, nn.RNNCellBase):
        yield from (f"float32[{order}, {module.input_size}]" for order in (*orders, "N"))
    elif isinstance(module, nn.Conv1d):
        yield f"float32[N, {module.in_channels}, T]"
        yield from (f"float32[{order}, {module.in_channels}]" for order in orders)
    elif isinstance(module, nn.Linear | nn.LayerNorm):
        width = module.in_features if isinstance(module, nn.Linear) else module.normalized_shape[-1]
        yield from (f"float32[{order}, {width}]" for order in (*orders, "N"))


def _bare(model: nn.Module) -> Iterator[str]:
    """What a model from scratch may take: tokens below a size that it keeps, or rows for its first matrices."""
    for name in _VOCABULARY:
        if isinstance(size := getattr(model, name, None), int) and size > 1:
            yield from (f"int64[{order}] in 0..{size - 1}" for order in ("N, T", "T, N"))
    widths = [width for each in model.parameters(recurse=True) if each.dim() == 2 for width in each.shape]
    for width in dict.fromkeys(widths):
        yield from (f"float32[{order}, {width}]" for order in ("T, N", "N, T", "N"))


def _as_given(name: str, example: Mapping[str, Array]) -> Iterator[Inputs]:
    """The example's own dtype and sizes, of which the first two are taken for dynamic ones."""
    if name in example and example[name].ndim > 0:
        array = example[name]
        dims = [*("N", "T")[: array.ndim], *map(str, array.shape[2:])]
        values = f" in 0..{array.max()}" if array.dtype.kind == "i" and array.size else ""
        yield {name: f"{array.dtype}[{', '.join(dims)}]{values}"}


def _fits(proposed: Inputs, example: Mapping[str, Array]) -> bool:
    """Whether an example has these dtypes, ranks and fixed sizes, and the same size for one name."""
    sizes: dict[str, int] = {}
    for name, spec in Signature(proposed).inputs.items():
        array = example.get(name)
        if array is None:
            continue
        if str(array.dtype) != spec.dtype or array.ndim != len(spec.shape):
            return False
        if any(sizes.setdefault(str(dim), have) != have for dim, have in zip(spec.shape, array.shape, strict=True)):
            return False
    return all(not name.isdecimal() or int(name) == size for name, size in sizes.items())


def _runs(model: nn.Module, proposed: Inputs, sizes: Mapping[str, int]) -> bool:
    signature = Signature(proposed)
    case = Case({name: sizes[name] for name in signature.symbols}, "ordinary", 0)
    with suppress(Exception):  # whatever the model raises says that the proposal does not fit
        inputs = make_inputs(signature, case)
        for name, spec in signature.inputs.items():
            if spec.range and isinstance(spec.range[1], int):  # a table with fewer rows raises
                inputs[name].flat[0] = spec.range[1]
        run_eager(model, as_tensors(inputs))
        return True
    return False
