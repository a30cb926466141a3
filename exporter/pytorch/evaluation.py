"""Put a model in evaluation mode, and reject one that is not deterministic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..errors import LoadError
from ..torch_internals.modules import COMPILED_MODULE, exclusive
from .copying import copied
from .outputs import flatten
from .randomness import RandomError, other_generators, refusing_randomness
from .run import check_runs, preserve_module_state, run_on
from .scripted import scripted_to_eager

_WRAPPERS = ("OptimizedModule", "DataParallel", "DistributedDataParallel")
_MOVING = ("Dropout", "AlphaDropout", "FeatureAlphaDropout", "BatchNorm", "InstanceNorm", "SyncBatchNorm")


def unwrap(model: nn.Module) -> nn.Module:
    """The model that torch.compile, DataParallel or DistributedDataParallel wraps; any other as it is."""
    for name in (COMPILED_MODULE, "module"):
        inner = getattr(model, name, None)
        if isinstance(inner, nn.Module) and type(model).__name__ in _WRAPPERS:
            return unwrap(inner)
    return model


def check_tensors(model: nn.Module) -> None:
    """See that every parameter and buffer has a shape and is dense.

    Raises:
        LoadError: a lazy module has not been run yet, or a tensor is sparse.
    """
    tensors = [*model.named_parameters(), *model.named_buffers()]
    lazy = [name for name, tensor in tensors if is_lazy(tensor)]
    if lazy:
        raise LoadError(f"{', '.join(lazy)} of the model has no shape yet. Run it once before it is exported.")
    sparse = [name for name, tensor in tensors if tensor.layout != torch.strided]
    if sparse:
        raise LoadError(f"{', '.join(sparse)} of the model is sparse. Keep it as tensor.to_dense().")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[list[str]]:
    """Put a model in evaluation mode for a block, and restore every flag; yields warnings where that changes outputs.

    What torch.compile has wrapped runs eagerly: compiling it would take long and compute the same. The block is
    exclusive, since the compiler's stance is the whole process's, as is the default dtype, float64 in a reference.
    """
    with exclusive():
        # TorchScript that was frozen is in evaluation mode for good, and has no flag.
        before = {module: module.training for module in model.modules() if hasattr(module, "training")}
        moving = sorted({type(module).__name__ for module in before if before[module] and _moves(module)})
        model.eval()
        try:
            with torch.compiler.set_stance("force_eager"):
                yield [_says_training(moving)] if moving else []
        finally:
            for module, training in before.items():
                module.training = training


def _says_training(layers: Sequence[str]) -> str:
    """Of a model in training mode, which of its layers compute something else there."""
    does = "computes" if len(layers) == 1 else "compute"
    return (
        f"The model is in training mode, where {' and '.join(layers)} {does} something else. It is exported in "
        "evaluation mode, as model.eval() leaves it."
    )


def as_python(model: nn.Module, form: Callable[[nn.Module], nn.Module] = scripted_to_eager) -> nn.Module:
    """A model that can be captured: TorchScript as Python, inference tensors as ordinary ones.

    Args:
        form: what TorchScript becomes: its class where that is known, or with `code_to_eager` the code inside.

    Raises:
        LoadError: it is TorchScript that has no form in Python.
    """
    python = form(model)
    if any(tensor.is_inference() for tensor in (*python.parameters(), *python.buffers())):
        return copied(python)
    return python


def check_deterministic(model: nn.Module, example: Mapping[str, Tensor]) -> tuple[Any, bool]:
    """The model's output for the example, and whether a second call gives another, as one that keeps a state does.

    Raises:
        LoadError: its forward raises.
        RandomError: it draws random numbers, or gives another answer on a model that is as it was.
    """
    with refusing_randomness(model):
        once = check_runs(model, example)
    with other_generators(), preserve_module_state(model):
        first = run_on(model, example)
        second = run_on(model, example)
    if not is_same(once, first):
        raise RandomError(
            "The model gives two answers to one input, also in evaluation mode (noise, the time, or something else "
            "that is not among its inputs, such as a count in a global variable). Make it depend on self.training, "
            "take it as an input, or keep it in an attribute of the model."
        )
    return once, not is_same(first, second)


def is_same(once: Any, again: Any) -> bool:
    """Whether two outputs hold the same tensors, up to what rounds differently from run to run."""
    # Not bit for bit: a math library may round differently for memory that is aligned differently.
    pairs = zip(flatten(once), flatten(again), strict=True)
    return all(
        one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-6, equal_nan=True)
        for (_, one), (_, other) in pairs
    )


def _moves(module: nn.Module) -> bool:
    """Whether a layer computes something else in training mode."""
    dropout = getattr(module, "dropout", 0)
    return type(module).__name__.startswith(_MOVING) or (isinstance(dropout, float) and dropout > 0)
