"""What an earlier call has left in a model: tensors that have its sizes, where a stream should begin anew."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from torch import Tensor, nn

from ...spec.dims import infer_dims
from .places import Place, attributes, copied, leaves, put, same
from .watching import Watched


def made_at(places: Collection[Place], runs: Sequence[Watched]) -> dict[Place, dict[str, int]]:
    """The dynamic sizes of tensors that the model begins with and that are not alike along these, by place."""
    found = {}
    for place in places:
        before = runs[0].before.get(place)
        after = [run.calls[0].after.get(place) for run in runs]
        shapes = [tuple(value.shape) for value in after if isinstance(value, Tensor)]
        if (
            not isinstance(before, Tensor)
            or {len(shape) for shape in shapes} != {before.dim()}
            or len(shapes) < len(runs)
        ):
            continue
        dims = infer_dims([run.sizes for run in runs], shapes)
        sizes = {
            dim: before.shape[axis]
            for axis, dim in enumerate(dims)
            if isinstance(dim, str) and dim in runs[0].sizes and _varies(before, axis)
        }
        if sizes:
            found[place] = sizes
    return found


def _varies(tensor: Tensor, axis: int) -> bool:
    """Whether it is no beginning that is the same for all along an axis."""
    return tensor.shape[axis] > 1 and not same(tensor, tensor.narrow(axis, 0, 1).expand(tensor.shape))


def says_left_behind(model: nn.Module, runs: Callable[[nn.Module], bool]) -> str:
    """Of a model that does not run: which tensors it holds without which it does; empty if there are none."""
    for names in _choices(model):
        without = copied(model)
        for path, name in names:
            put(without.get_submodule(path), name, None)
        if runs(without):
            return left_behind([Place(*name) for name in names])
    return ""


def left_behind(places: Sequence[Place]) -> str:
    """What to do about them."""
    named = " and ".join(map(str, places))
    holds, was = ("holds", "it was") if len(places) == 1 else ("hold", "they were")
    return (
        f"{named} {holds} what an earlier call has left, at the sizes of that call. Export the model before its first "
        f"call, set {named} to what {was} then, or give the model a method `reset()` that does."
    )


def _choices(model: nn.Module) -> Iterator[list[tuple[str, str]]]:
    """Attributes, no buffers, that hold tensors: one alone, then all."""
    buffers = {name for name, _ in model.named_buffers()}
    held = {
        (path, name): [leaf for _, leaf in leaves(whole, set()) if isinstance(leaf, Tensor)]
        for path, name, whole in attributes(model)
        if f"{path}.{name}".lstrip(".") not in buffers
    }
    names = [name for name, tensors in held.items() if tensors]
    yield from ([name] for name in names)
    if len(names) > 1:
        yield names
