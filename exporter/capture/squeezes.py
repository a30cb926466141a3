"""`squeeze` of a dynamic size, which removes the dimension at size 1 only: left out where that makes no difference.

At N=1 PyTorch's `h.squeeze(0)` of [N, H] is [H], and what follows may broadcast it back: then the model computes the
same without the squeeze. That is found by running it both ways where a size is 1; a rank that depends on a size has no
place in a graph, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import SymInt, Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import CaptureError
from ..pytorch.outputs import flatten
from ..pytorch.run import run_eager
from ..pytorch.source_lines import at, current_line
from ..spec.signature import Signature
from ..torch_internals.symbols import bounds, expression, is_product_of_sizes
from .resizing import at_sizes, sizes_of

Dim = int | Sequence[int] | None


class Squeezes:
    """The squeezes of a capture. `left` are the dimensions that each line leaves as they are: rank, then axis."""

    def __init__(self) -> None:
        self.left: dict[str, set[tuple[int, int]]] = {}

    def squeeze(self, input: Tensor, dim: Dim = None) -> Tensor:
        """`torch.squeeze` of what is 1 at every size.

        Raises:
            CaptureError: a size that is computed from others may be 1.
        """
        chosen = _axes(input, dim)
        for axis in chosen:
            if isinstance(input.shape[axis], SymInt) and _may_be_one(size := expression(input.shape[axis])):
                if not is_product_of_sizes(size):
                    raise CaptureError(_message(current_line()))
                self.left.setdefault(current_line(), set()).add((input.dim(), axis))
        return _without(input, [axis for axis in chosen if not isinstance(input.shape[axis], SymInt)])


def check_left(
    model: nn.Module, signature: Signature, example: Mapping[str, Tensor], left: Mapping[str, set[tuple[int, int]]]
) -> None:
    """See that the model computes the same without these squeezes wherever a size is 1.

    Raises:
        CaptureError: it does not.
    """
    for inputs in _of_size_one(signature, example) if left else ():
        try:
            expected = flatten(run_eager(model, inputs))
        except Exception:  # the model does not run there, whatever it raises
            continue
        try:
            with _Leaving(left):
                found = flatten(run_eager(model, inputs))
        except Exception as error:
            raise CaptureError(_message(next(iter(left)))) from error
        pairs = zip([tensor for _, tensor in expected], [tensor for _, tensor in found], strict=True)
        if not all(a.shape == b.shape and torch.allclose(a, b, equal_nan=True) for a, b in pairs):
            raise CaptureError(_message(next(iter(left))))


def _of_size_one(signature: Signature, example: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    sizes = sizes_of(signature, example)
    for ones in (dict.fromkeys(sizes, 1), *({**sizes, name: 1} for name in sizes)):
        yield at_sizes(signature, example, ones)


class _Leaving(TorchFunctionMode):
    """Runs a model without some of its squeezes."""

    def __init__(self, left: Mapping[str, set[tuple[int, int]]]) -> None:
        super().__init__()
        self._left = left

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in (torch.squeeze, torch.Tensor.squeeze) and (left := self._left.get(current_line())):
            return _leaving(left, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _leaving(left: set[tuple[int, int]], input: Tensor, dim: Dim = None) -> Tensor:
    return _without(input, [axis for axis in _axes(input, dim) if (input.dim(), axis) not in left])


def _axes(input: Tensor, dim: Dim) -> list[int]:
    chosen = range(input.dim()) if dim is None else [dim] if isinstance(dim, int) else dim
    return [axis % input.dim() for axis in chosen] if input.dim() else []


def _without(input: Tensor, axes: Sequence[int]) -> Tensor:
    # ONNX's Squeeze fails where PyTorch leaves a dimension longer than 1 as it is.
    ones = [axis for axis in axes if input.shape[axis] == 1]
    if not ones:
        return input
    return torch.Tensor.squeeze(input, ones[0] if len(ones) == 1 else ones)


def _may_be_one(size: Any) -> bool:
    return bool(bounds(size, (), {})[0] <= 1)


def _message(line: str) -> str:
    return (
        f"The model's squeeze{at(line)} removes a dimension where a dynamic size is 1, which a graph cannot. Name the "
        "dimension that is always 1, such as squeeze(-1), or leave the squeeze out."
    )
