"""Say what is wrong with a state that a recurrent layer refuses: a size that is another one's, or its dimensions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

_DESCRIBE = "Describe each state as the layer takes it: layers times directions, N, hidden size."
_MAKE = "Make each state as the layer takes it: {}."
_LAYER, _CELL = "[layers times directions, N, hidden size]", "[N, hidden size]"

_OF_LAYER = re.compile(r"Expected hidden(?:\[\d\])? size \((.+?)\), got \[(.+?)\]")
_OF_CELL = re.compile(r"Input batch size (\d+) doesn't match hidden\d batch size (\d+)")
_OTHERS = (
    "hx should also be",
    "hx and cx should also be",
    "Expected hidden to be",
    "incorrect number of RNN parameters",
)
_HIDDEN = "has inconsistent hidden_size"


@dataclass(frozen=True)
class _Batch:
    """The batch that a layer has, and that of the state it was given."""

    taken: int
    given: int


def says_of_a_state(message: str) -> bool:
    """Whether what PyTorch says is that a layer does not take the state."""
    return any(said in message for said in ("Expected hidden", _HIDDEN, *_OTHERS)) or bool(_OF_CELL.search(message))


def has_wrong_batch(message: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether the model made a state with a number, or with a size that is not the batch, as `x.size(0)` time first.

    Where the state may be an input, and where its batch is that of another input, the description may be wrong instead.
    """
    batch = _batch(message)
    if batch is None or _is_input(message, tensors):
        return False
    sizes = [{*tensor.shape} for tensor in tensors.values()]
    return not any(batch.given in each for each in sizes) or any({batch.taken, batch.given} <= each for each in sizes)


def remedy_of_state(message: str, tensors: Mapping[str, Tensor]) -> str:
    """What to do about it, for a model that was given these inputs."""
    batch = _batch(message)
    if batch is None or _is_input(message, tensors):
        is_cell = _HIDDEN in message or "to be 1D or 2D" in message
        return _DESCRIBE if _is_described(tensors) else _MAKE.format(_CELL if is_cell else _LAYER)
    taken, given = _size_of(batch.taken, tensors), _size_of(batch.given, tensors)
    if given and taken:
        return (
            f"The state was made with {given}, but here the layer's batch is {taken}: make the state with that, or, "
            f"if {given} is the batch, transpose the input or change batch_first of the layer."
        )
    source = f", such as {taken}" if taken else ""
    return (
        f"The state has {batch.given} sequences whatever the input has: take their number from the input{source}, or "
        f"describe the input with {batch.given}."
    )


def _batch(message: str) -> _Batch | None:
    """Both batches, where nothing else of the state is wrong."""
    if found := _OF_CELL.search(message):
        return _Batch(int(found[1]), int(found[2]))
    if not (found := _OF_LAYER.search(message)):
        return None
    taken, given = ([int(size) for size in group.split(",")] for group in found.groups())
    differ = [place for place, (one, other) in enumerate(zip(taken, given, strict=False)) if one != other]
    return _Batch(taken[1], given[1]) if differ == [1] and len(taken) == len(given) == 3 else None


def _is_input(message: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether the state that is refused may be one of the inputs."""
    if layer := _OF_LAYER.search(message):
        return any(str([*tensor.shape]) == f"[{layer[2]}]" for tensor in tensors.values())
    cell = _batch(message)
    states = [tensor for tensor in tensors.values() if tensor.is_floating_point() and tensor.dim() == 2]
    return cell is not None and any(tensor.size(0) == cell.given for tensor in states)


def _is_described(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the model takes more than one input of floats, of which one may be a state."""
    return sum(tensor.is_floating_point() for tensor in tensors.values()) > 1


def _size_of(size: int, tensors: Mapping[str, Tensor]) -> str:
    """Where a size comes from, as forward would write it: `x.size(0)`; empty if from none or several dimensions."""
    places = [
        f"{name}.size({dim})" for name, tensor in tensors.items() for dim, of in enumerate(tensor.shape) if of == size
    ]
    return places[0] if places else ""
