"""The tensors of a model that an exported file is to hold, and what its forward computes of its weights alone.

An exporter may store what forward computes in place of what it is computed from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from ...errors import first_line
from ...pytorch.run import run_eager

Array = NDArray[Any]


@dataclass(frozen=True)
class ModelWeights:
    """The tensors of a model by name, and what its forward computes of them alone, or why that is not known."""

    tensors: Mapping[str, Array]
    computed: Mapping[str, Array]
    unseen: str = ""


def weights_of(model: nn.Module, tensors: Mapping[str, Tensor]) -> ModelWeights:
    """A model's tensors, and what its forward computes of them alone for these inputs.

    That is not known where the model does not run while it is watched, as one that looks at the type of its tensors
    may not.
    """
    try:
        computed, unseen = computed_weights(model, tensors), ""
    except Exception as error:  # whatever the model's forward raises, which it does not when it is not watched
        computed, unseen = (
            {},
            f"the model does not run while it is watched ({type(error).__name__}: {first_line(error)})",
        )
    return ModelWeights(model_weights(model), computed, unseen)


def model_weights(model: nn.Module) -> dict[str, Array]:
    """The floating-point parameters and buffers of a model in evaluation mode, by name.

    In place of those that a weight is computed from (a parametrization, the older weight norm, pruning) stands what
    the layer computed of them when it last ran.
    """
    tensors = dict(model.state_dict())
    for name, originals, value in _computed(model):
        for original in originals:
            tensors.pop(original, None)
        tensors[name] = value
    return as_arrays(tensors)


def _computed(model: nn.Module) -> Iterator[tuple[str, list[str], Tensor]]:
    """Weights that layers compute: the name, those in the state that it is computed from, and its value."""
    names = list(model.state_dict())
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        parametrized = getattr(module, "parametrizations", {})
        for name in parametrized:
            with torch.no_grad():
                value = getattr(module, name)
            start = f"{prefix}parametrizations.{name}."
            yield prefix + name, [each for each in names if each.startswith(start)], value
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                yield prefix + name, [each for each in names if each.startswith(f"{prefix}{name}_")], value


def as_arrays(tensors: Mapping[str, Any]) -> dict[str, Array]:
    """The floating-point tensors as arrays."""
    found = {name: as_array(tensor) for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
    return {name: array for name, array in found.items() if is_float(array.dtype)}


def as_array(tensor: Tensor) -> Array:
    """The elements of a tensor, without a copy where it lies in memory."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype == ml_dtypes.bfloat16


def computed_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """The floating-point results, for these inputs, of operations that read none of them; each once.

    What merely shows a part of a parameter, or shows it otherwise, is left out.
    """
    own = {each.untyped_storage().data_ptr() for each in (*model.parameters(), *model.buffers())}
    watching = _Watching(own, list(tensors.values()))
    with torch.no_grad(), watching:
        run_eager(model, tensors)
    return {f"computed {k}": array for k, array in enumerate(watching.found.values())}


class _Watching(TorchDispatchMode):
    """Follows what depends on the inputs, and keeps the rest."""

    def __init__(self, own: set[int], inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: dict[tuple[Any, ...], Array] = {}
        self._own = own
        self._moving: Any = WeakIdKeyDictionary()
        for tensor in inputs:
            self._moving[tensor] = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        result = func(*args, **(kwargs or {}))
        results = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if any(tensor in self._moving for tensor in given):
            for tensor in results:
                self._moving[tensor] = True
        elif given:
            for tensor in results:
                self._keep(tensor)
        return result

    def _keep(self, tensor: Tensor) -> None:
        if not tensor.is_floating_point() or tensor.numel() < 2 or tensor.untyped_storage().data_ptr() in self._own:
            return
        array = as_array(tensor).copy()
        self.found.setdefault((array.dtype, array.shape, hash(array.tobytes())), array)
