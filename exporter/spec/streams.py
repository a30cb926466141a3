"""States that a stream carries from chunk to chunk: their names in a model file, and their initial values."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct, field, to_builtins
from numpy.typing import NDArray

from ..errors import CaptureError
from .signature import Dtype, Signature, Size

STATELESS = "Export it without `stateful=True`."
Array = NDArray[np.generic]
Reset = float | tuple[float, ...]

# How many steps there are in what grows; the past.
_PAST = ("P", "P_", "P__")

# As JSON has it: infinity and NaN, which it lacks, are the strings that C and JavaScript read as such.
Number = int | float | Literal["Infinity", "-Infinity", "NaN"]
Product = Annotated[str, Meta(pattern="^[A-Za-z0-9_]+([*][A-Za-z0-9_]+)*$")]


@dataclass(frozen=True)
class State:
    """Input `name`, which takes output `output` of the chunk before, and `reset` before the first chunk.

    A name in `shape` is a dynamic size, a product such as `6*N` one that is computed from others. `reset` is a number
    for every element, or the elements of a state whose dynamic sizes are all 1, in row-major order: each sequence of a
    batch begins with the same. The size that `grows` names, if any, is 0 at first and larger after every call.
    """

    name: str
    output: str
    dtype: str
    shape: tuple[str | int, ...]
    reset: Reset = 0.0
    grows: str = ""

    def initial(self, sizes: Mapping[str, int]) -> Array:
        """The state before the first chunk, for given sizes of the dynamic dimensions."""
        least = [1 if isinstance(dim, str) else dim for dim in self.shape]
        values = np.asarray(self.reset, self.dtype)
        sizes = {**sizes, self.grows: 0}
        shape = [multiply(dim, sizes) if isinstance(dim, str) else dim for dim in self.shape]
        return np.broadcast_to(values.reshape(least) if values.ndim else values, shape).copy()

    @property
    def reset_text(self) -> str:
        """`reset` as numbers with commas between them."""
        plain = _plain(self.reset)
        return ",".join(map(str, plain if isinstance(plain, tuple) else [plain]))

    @property
    def entry(self) -> StateEntry:
        """All but the name, as JSON has it."""
        return StateEntry(self.output, self.dtype, self.shape, _plain(self.reset))


class StateEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A state as manifests and model files have it, under its name.

    A name in `shape` is a dynamic size, a product such as 6*N is computed from one; a number is fixed. A stream begins
    with `reset`: one number for all elements, or the elements in row-major order of a state whose dynamic sizes are all
    1, the same for every sequence.
    """

    output: Annotated[str, Meta(description="The output to feed back as this input.")]
    dtype: Dtype
    shape: tuple[Product | Size, ...]
    reset: Number | tuple[Number, ...]

    def named(self, name: str) -> State:
        return State(name, self.output, self.dtype, self.shape, numbers(self.reset))


class OutputTiming(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How an output of a stream lies to that of a whole run.

    The first `delay` elements along the time mean nothing; the next is the whole run's first. A whole run has `extra`
    elements more than a stream, below 0 fewer: its last ones follow from the end of the sequence.
    """

    delay: Annotated[int, Meta(ge=0, description="So many elements of a stream come before the first.")] = 0
    extra: Annotated[int, Meta(description="So many more elements a whole run has.")] = 0

    elements: Annotated[
        int, Meta(ge=0, description="So many for each `multiple` steps of a chunk; 0 for one for each step.")
    ] = 0

    def kept(self, joined: int) -> int:
        """How many of the joined elements of all chunks are a whole run's, from its first."""
        return max(0, min(joined - self.delay, joined + self.extra))


class StreamSpec(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a model file is fed in chunks: the dimension they are cut along, and every state that is carried."""

    time: Annotated[
        str | None,
        Meta(description="The dimension that inputs are cut along; null where one call after another is the stream."),
    ]
    entries: Annotated[Mapping[str, StateEntry], Meta(min_length=1, description="States by input name.")] = field(
        name="states"
    )
    multiple: Annotated[int, Meta(ge=1, description="A chunk is a multiple of so many steps.")] = 1
    timings: Annotated[
        Mapping[str, OutputTiming], Meta(description="Outputs that do not lie as those of a whole run, by name.")
    ] = field(default_factory=dict)
    kept: Annotated[
        tuple[str, ...],
        Meta(description="The states that the model keeps in its own buffers and attributes from call to call."),
    ] = field(default=(), name="own")
    grows: Annotated[
        str,
        Meta(description="The size of states that is 0 before the first call, and larger after every one."),
    ] = ""
    masked: Annotated[
        bool,
        Meta(
            description="Whether a mask leaves steps out, which a stream does not read: one that is infinite or NaN "
            "makes NaN of all steps in PyTorch's whole run, and not here."
        ),
    ] = False

    @classmethod
    def of(
        cls,
        time: str | None,
        states: Sequence[State],
        own: Sequence[State] = (),
        multiple: int = 1,
        timings: Mapping[str, OutputTiming] | None = None,
        masked: bool = False,
    ) -> StreamSpec:
        entries = {state.name: state.entry for state in states}
        return cls(time, entries, multiple, timings or {}, tuple(state.name for state in own), _growing(states), masked)

    def delay(self, output: str) -> int:
        """How many elements of an output, along the time, come before its first."""
        return self.timings[output].delay if output in self.timings else 0

    @property
    def states(self) -> tuple[State, ...]:
        named = (entry.named(name) for name, entry in self.entries.items())
        return tuple(replace(state, grows=self.grows if self.grows in state.shape else "") for state in named)


def past_name(taken: Collection[str]) -> str:
    """What the size of a state that grows is called, beside other sizes."""
    return next(name for name in _PAST if name not in taken)


def _growing(states: Sequence[State]) -> str:
    return next((state.grows for state in states if state.grows), "")


def states_json(states: Sequence[State]) -> dict[str, Any]:
    """States by name, as manifests and model files have them."""
    plain: dict[str, Any] = to_builtins({state.name: state.entry for state in states})
    return plain


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


class StatelessError(CaptureError):
    """A model has no state that could be carried from chunk to chunk."""


def cannot_stream(why: str) -> CaptureError:
    """The error for a model whose outputs in chunks differ from those in one pass."""
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


def _plain(reset: Reset) -> Number | tuple[Number, ...]:
    return tuple(map(_number, reset)) if isinstance(reset, tuple) else _number(reset)


def _number(reset: float) -> Number:
    if math.isnan(reset):
        return "NaN"
    if math.isinf(reset):
        return "Infinity" if reset > 0 else "-Infinity"
    return int(reset) if reset.is_integer() and not (reset == 0 and math.copysign(1, reset) < 0) else reset


def numbers(plain: Number | tuple[Number, ...]) -> Reset:
    return tuple(map(float, plain)) if isinstance(plain, tuple) else float(plain)
