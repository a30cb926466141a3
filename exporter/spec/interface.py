"""What goes in and out of a model file, in order: what a file says, and what it must say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .dims import Dim, parse, spell
from .metadata import wrong_metadata
from .signature import Signature
from .streams import StreamSpec


@dataclass(frozen=True)
class Tensor:
    """An input or an output; None stands for a dtype, a shape or a dimension that is not said."""

    name: str
    dtype: str | None
    dims: tuple[Dim, ...] | None

    def __str__(self) -> str:
        return f"{self.name}: {spell(self.dtype or '?', self.dims)}" if self.dims is not None else self.name


@dataclass(frozen=True)
class Interface:
    """The inputs and outputs of a file, and its metadata; None where its format has none."""

    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    metadata: Mapping[str, str] | None = field(default=None)


def expected_interface(signature: Signature, stream: StreamSpec | None, described: Mapping[str, str]) -> Interface:
    """What a file must have: the model's inputs and outputs, and after them the states of a stream.

    Args:
        described: the dtypes and dimensions of outputs, such as float32[T, N, 3], as far as they are known.
    """
    states = () if stream is None else stream.states
    inputs = [Tensor(name, spec.dtype, spec.shape) for name, spec in signature.inputs.items()]
    inputs += [Tensor(state.name, state.dtype, state.shape) for state in states if state.name not in signature.inputs]
    parsed = {name: parse(text) for name, text in described.items()}
    outputs = [Tensor(name, *parsed.get(name, (None, None))) for name in signature.outputs]
    outputs += [
        Tensor(state.output, state.dtype, state.shape) for state in states if state.output not in signature.outputs
    ]
    return Interface(inputs, outputs)


def wrong_interface(
    found: Interface,
    signature: Signature,
    stream: StreamSpec | None,
    described: Mapping[str, str],
    added: Mapping[str, str],
) -> str:
    """The first thing that a file says otherwise than the manifest; empty if there is none.

    Of an output's dimensions a file may say less, or with other words: `T*N` for `N*T`.

    Args:
        added: the metadata that its user has added.
    """
    expected = expected_interface(signature, stream, described)
    wrong = wrong_names([each.name for each in found.inputs], [each.name for each in found.outputs], expected)
    if wrong:
        return wrong
    for one, other in zip(found.inputs, expected.inputs, strict=True):
        if (one.dtype, one.dims) != (other.dtype, other.dims):
            return f"its input {one} is not {other}"
    symbols = {*signature.symbols}
    for one, other in zip(found.outputs, expected.outputs, strict=True):
        if not _fits(one, other, symbols):
            return f"its output {one} is not {other}"
    return "" if found.metadata is None else wrong_metadata(found.metadata, signature, stream, added)


def wrong_names(inputs: Sequence[str], outputs: Sequence[str], expected: Interface) -> str:
    """Whether names or their order are others than expected; empty if not."""
    for kind, got, wanted in (("inputs", inputs, expected.inputs), ("outputs", outputs, expected.outputs)):
        names = [tensor.name for tensor in wanted]
        if [*got] != names:
            return f"its {kind} are {', '.join(got) or 'none'}, not {', '.join(names)}"
    return ""


def _fits(found: Tensor, wanted: Tensor, symbols: set[str]) -> bool:
    if wanted.dtype is not None and found.dtype != wanted.dtype:
        return False
    if found.dims is None or wanted.dims is None:
        return True
    if len(found.dims) != len(wanted.dims):
        return False
    return all(_fits_dim(one, other, symbols) for one, other in zip(found.dims, wanted.dims, strict=True))


def _fits_dim(found: Dim, wanted: Dim, symbols: set[str]) -> bool:
    if found is None or found == wanted:
        return True
    if isinstance(found, int):
        return False  # the manifest has a number where a size never changes
    if isinstance(wanted, str):
        return sorted(found.split("*")) == sorted(wanted.split("*")) or not re.fullmatch(r"\w+([*]\w+)*", found)
    # Without a name in the manifest it is a size that is computed, and no dimension of the inputs by itself.
    return found not in symbols if wanted is None else not re.fullmatch(r"\w+", found)
