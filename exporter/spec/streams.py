"""States that a stream carries from chunk to chunk: what a model file calls them, and what a stream begins with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CaptureError
from .signature import Signature

STATELESS = "Export it without --stateful (in Python: stateful=True)."
Array = NDArray[np.generic]
Reset = float | tuple[float, ...]


@dataclass(frozen=True)
class State:
    """Input `name`, which takes output `output` of the chunk before, and `reset` before the first chunk.

    A name in `shape` is a dynamic size, a product such as `6*N` one that is computed from others. `reset` is a number
    for every element, or the elements of a state whose dynamic sizes are all 1, in row-major order: each sequence of a
    batch begins with the same.
    """

    name: str
    output: str
    dtype: str
    shape: tuple[str | int, ...]
    reset: Reset = 0.0

    def initial(self, sizes: Mapping[str, int]) -> Array:
        """The state before the first chunk, for given sizes of the dynamic dimensions."""
        least = [1 if isinstance(dim, str) else dim for dim in self.shape]
        values = np.asarray(self.reset, self.dtype)
        shape = [multiply(dim, sizes) if isinstance(dim, str) else dim for dim in self.shape]
        return np.broadcast_to(values.reshape(least) if values.ndim else values, shape).copy()

    @property
    def reset_text(self) -> str:
        """`reset` as numbers with commas between them."""
        plain = _plain(self.reset)
        return ",".join(map(str, plain if isinstance(plain, list) else [plain]))

    def to_json(self) -> dict[str, Any]:
        """A JSON object; infinity and NaN, which JSON lacks, are the strings that C and JavaScript read as such."""
        return {"output": self.output, "dtype": self.dtype, "shape": list(self.shape), "reset": _plain(self.reset)}

    @classmethod
    def from_json(cls, name: str, data: Mapping[str, Any]) -> State:
        return cls(name, data["output"], data["dtype"], tuple(data["shape"]), _numbers(data["reset"]))


@dataclass(frozen=True)
class StreamSpec:
    """How a model file is fed in chunks: the dimension they are cut along, and every state that is carried."""

    time: str
    states: tuple[State, ...]

    def to_json(self) -> dict[str, Any]:
        return {"time": self.time, "states": states_json(self.states)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StreamSpec:
        return cls(data["time"], tuple(State.from_json(name, entry) for name, entry in data["states"].items()))


def states_json(states: Sequence[State]) -> dict[str, Any]:
    """States by name, as manifests and model files have them."""
    return {state.name: state.to_json() for state in states}


def declared_states(signature: Signature, pairs: Mapping[str, str] | None = None) -> tuple[State, ...]:
    """The states that the model's own `forward` takes and returns; they begin at zero.

    Args:
        pairs: input name to output name; by default those of the signature.
    """
    specs = signature.inputs
    return tuple(
        State(before, after, specs[before].dtype, specs[before].shape)
        for before, after in (signature.states if pairs is None else pairs).items()
    )


def cannot_stream(why: str) -> CaptureError:
    """The error for a model that gives something else in chunks than in one pass."""
    return CaptureError(f"The model cannot stream: {why} {STATELESS}")


def after_name(before: str) -> str:
    """What the output is called that continues an input, where names alone say so: `h_n` for `h0`, else empty."""
    return f"{before.removesuffix('0')}_n" if before.endswith("0") else ""


def multiply(product: str, sizes: Mapping[str, int]) -> int:
    """The size that a product such as `6*N` or `N*T` stands for."""
    return math.prod(int(factor) if factor.isdigit() else sizes[factor] for factor in product.split("*"))


def reset_of(values: Array) -> Reset:
    """The shortest form: one number where all elements are the same, else all of them."""
    # The shortest decimal that is read as the same value of its dtype.
    flat = [float(str(value)) if values.dtype.kind == "f" else float(value) for value in values.reshape(-1)]
    same = all(value == flat[0] or (math.isnan(value) and math.isnan(flat[0])) for value in flat)
    return flat[0] if same else tuple(flat)


def _plain(reset: Reset) -> Any:
    if isinstance(reset, tuple):
        return [_plain(value) for value in reset]
    if math.isnan(reset):
        return "NaN"
    if math.isinf(reset):
        return "Infinity" if reset > 0 else "-Infinity"
    return int(reset) if reset.is_integer() and not (reset == 0 and math.copysign(1, reset) < 0) else reset


def _numbers(plain: Any) -> Reset:
    return tuple(float(value) for value in plain) if isinstance(plain, list) else float(plain)
