"""The tensors of a model that its file should hold, and what forward computes from weights only.

An exporter may store what forward computes from weights in place of those weights.
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
from torch.utils.weak import WeakIdKeyDictionary

from ...errors import first_line
from ...pytorch.run import run_eager
from ...torch_internals.modules import TorchDispatchMode, tree_leaves

Array = NDArray[Any]
_FOLDED = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_BEFORE = 4
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class ModelWeights:
    """A model's tensors by name, and what forward computes from them only, or why that is unknown (`unseen`)."""

    tensors: Mapping[str, Array]
    computed: Mapping[str, Array]
    unseen: str = ""


def weights_of(model: nn.Module, tensors: Mapping[str, Tensor]) -> ModelWeights:
    """A model's tensors, and what forward computes from them only, when run on these inputs.

    The latter is unknown if the model fails while its operators are recorded, as one that checks tensor types may.
    """
    try:
        computed, unseen = {**computed_weights(model, tensors), **folded_norms(model)}, ""
    except Exception as error:  # whatever the model's forward raises; it does not raise when it is not recorded
        computed, unseen = (
            {},
            f"the model fails while its operators are recorded ({type(error).__name__}: {first_line(error)})",
        )
    return ModelWeights(model_weights(model), computed, unseen)


def model_weights(model: nn.Module) -> dict[str, Array]:
    """The floating-point parameters and buffers of a model in evaluation mode, by name.

    Where a weight is computed from others (parametrization, the older weight norm, pruning), those are replaced by the
    weight, as computed when the layer last ran.
    """
    tensors = dict(model.state_dict())
    for name, originals, value in _computed(model):
        for original in originals:
            tensors.pop(original, None)
        tensors[name] = value
    return as_arrays(tensors)


def _computed(model: nn.Module) -> Iterator[tuple[str, list[str], Tensor]]:
    """Weights that layers compute: the name, the names in the state dict that it is computed from, and the value."""
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
    """The tensor as an array that shares its memory if that is on the CPU; bfloat16 becomes ml_dtypes.bfloat16."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype == ml_dtypes.bfloat16


def computed_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """The distinct floating-point results of operators that depend on no input, when run on these inputs.

    Views of parameters and buffers are left out.
    """
    storages = {each.untyped_storage().data_ptr() for each in (*model.parameters(), *model.buffers())}
    recorder = _Recorder(storages, list(tensors.values()))
    with torch.no_grad(), recorder:
        run_eager(model, tensors)
    return {f"computed {k}": array for k, array in enumerate(recorder.found.values())}


def folded_norms(model: nn.Module) -> dict[str, Array]:
    """What an exporter may make of a batch norm and the layer before it: one layer with weights of its own.

    In evaluation mode y = (x - mean) * s + bias, where s = weight / sqrt(var + eps) (Ioffe and Szegedy, Batch
    Normalization, 2015). The layer before is looked for among the last few that come before it in the model.
    """
    found: dict[str, Tensor] = {}
    before: list[tuple[str, nn.Module]] = []
    for path, module in model.named_modules():
        if isinstance(module, _NORMS) and module.running_var is not None and module.running_mean is not None:
            scale = module.running_var.add(module.eps).rsqrt() * (1 if module.weight is None else module.weight)
            shift = (0 if module.bias is None else module.bias) - module.running_mean * scale
            found |= {f"{path} scale": scale, f"{path} shift": shift}
            fitting = [entry for entry in before if len(scale) in next(entry[1].parameters()).shape[:2]]
            for name, layer in fitting[-_BEFORE:]:
                found |= {f"{name} in {path}: {key}": each for key, each in _folded(layer, scale, shift)}
        elif isinstance(module, _FOLDED):
            before.append((path, module))
    return as_arrays(found)


def _folded(layer: nn.Module, scale: Tensor, shift: Tensor) -> Iterator[tuple[str, Tensor]]:
    for name, weight in layer.named_parameters():
        for axis in range(min(weight.dim(), 2)):
            if weight.shape[axis] == len(scale):
                by_channel = scale.reshape([-1 if each == axis else 1 for each in range(weight.dim())])
                yield f"{name} along {axis}", weight * by_channel + (shift if weight.dim() == 1 else 0)


class _Recorder(TorchDispatchMode):
    """Keeps the results of operators, except those that depend on an input or share memory with a weight."""

    def __init__(self, storages: set[int], inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: dict[tuple[Any, ...], Array] = {}
        self._storages = storages
        self._dependent: Any = WeakIdKeyDictionary()
        for tensor in inputs:
            self._dependent[tensor] = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        result = func(*args, **(kwargs or {}))
        results = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if any(tensor in self._dependent for tensor in given):
            for tensor in results:
                self._dependent[tensor] = True
        elif given:
            for tensor in results:
                self._keep(tensor)
        return result

    def _keep(self, tensor: Tensor) -> None:
        if tensor.untyped_storage().data_ptr() in self._storages:
            return
        if not tensor.is_floating_point() or tensor.numel() < 2:
            return
        array = as_array(tensor).copy()
        self.found.setdefault((array.dtype, array.shape, hash(array.tobytes())), array)
