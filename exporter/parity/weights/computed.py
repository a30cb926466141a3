"""What a model's forward computes of its weights alone: an exporter may store that in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from ...errors import first_line
from ...pytorch.run import run_eager
from ...torch_internals.modules import TorchDispatchMode, tree_leaves
from .tensors import ModelWeights, as_array, model_weights

Array = NDArray[Any]


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
