"""What goes in and out of a model: names, dtypes, symbolic dimensions and paired states.

Everything downstream (dynamic shapes, ONNX names, test cases, manifest) derives from a `Signature`;
nothing else invents names or shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from ..errors import SignatureError, type_in_words
from .float_range import FloatRange, parse_float_range
from .size_expression import (
    divisors_in,
    names_in,
    normal_size,
    size_of,
    slope_and_offset,
    with_parts,
    with_sizes,
)

DTYPES = ("float32", "float16", "float64", "int32", "int64", "bool")
Dtype = Annotated[str, Meta(pattern=f"^({'|'.join(DTYPES)})$")]
# A name, or a size that follows from others.
Symbol = Annotated[str, Meta(pattern="^[A-Za-z0-9_(][A-Za-z0-9_()+*/-]*$")]
Size = Annotated[int, Meta(ge=1)]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")

_SPEC = re.compile(r"\s*(?:torch\.)?(?P<dtype>\w+)\s*\[(?P<dims>[^\[\]]*)\]\s*(?P<values>.*?)\s*", re.DOTALL)
_RANGE = re.compile(
    r"in\s+(?P<low>-?\d+)\s*\.\.\s*(?P<high>-?\d+|[A-Za-z_]\w*)\s*(?P<descending>\bdescending)?", re.DOTALL
)

# What PyTorch calls some of them too.
_OTHER_NAMES = {"float": "float32", "half": "float16", "double": "float64", "int": "int32", "long": "int64"}

# As a Chinese or Japanese keyboard types them.
_FULL_WIDTH = str.maketrans("：，［］｛｝（）", ":,[]{}()")  # noqa: RUF001

_EXAMPLE = "write it like 'x: float32[T, N, 100]', 'x: float32[T, N, 100] > 0' or 'tokens: int64[N, T] in 0..27'"


class TensorSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One tensor: `float32[T, N, 100]`, or `int64[N, T] in 0..27` for integers up to and including 27.

    A name in `shape` is a dynamic dimension, a number a fixed one, and `12*(T-4)` follows from others (see
    `size_expression`). The upper end of `range` may be a name: the lengths of sequences are `int64[N] in 1..T`, or
    `int64[N] in 1..T descending` where the model wants them sorted.
    `floats` are the values of a float input that takes not all of them: `float32[T, N] in 0..1`, `> 0`, `>= 0, < 1`, or
    `in {0, 1}` for flags.
    """

    dtype: Dtype
    shape: tuple[Symbol | Size, ...]
    range: tuple[int, int | str] | None = None
    descending: bool = False
    floats: FloatRange | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"TensorSpec.parse({str(self)!r})"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise SignatureError(f"Unknown dtype '{self.dtype}'. Use one of {', '.join(DTYPES)}.")
        for dim in self.shape:
            if isinstance(dim, int) and dim < 1:
                raise SignatureError(f"A fixed dimension must be at least 1, not {dim}. Use a name for a dynamic one.")
            if isinstance(dim, int) and dim >= 2**31:
                raise SignatureError(f"A fixed dimension of {dim} is too large. Use one below {2**31}.")
            if isinstance(dim, str) and normal_size(dim) != dim:
                raise SignatureError(f"The size {dim} has another form. Write it as {normal_size(dim)}.")
        if self.range is not None:
            self._check_range(*self.range)
        if isinstance(self.floats, FloatRange):
            if self.dtype == "bool":
                raise SignatureError("A value range is for integers; bool takes none. Leave it out.")
            if not self.is_float:
                raise SignatureError(f"'{self.floats}' is for floats. Give integers a range such as 'in 0..27'.")
            self.floats.check(self.dtype)

    def _check_range(self, low: int, high: int | str) -> None:
        if self.is_float or self.dtype == "bool":
            remedy = "Leave it out." if self.dtype == "bool" else "Write numbers, such as 'in 0..1' or '> 0'."
            raise SignatureError(f"A value range is for integers; {self.dtype} takes none. {remedy}")
        if self.descending and not self.shape:
            raise SignatureError("A single number is in no order. Leave out 'descending'.")
        limits = {"int32": 2**31, "int64": 2**63}
        if isinstance(high, str):
            # What a name stands for is at least 1, and may be no more.
            high = max(1, low)
        if not -limits[self.dtype] <= low <= high < limits[self.dtype] and low <= high:
            raise SignatureError(f"The value range {low}..{high} does not fit {self.dtype}. Narrow it.")
        if low > high:
            raise SignatureError(f"The value range {low}..{high} is empty. Write the smaller number first.")

    @classmethod
    def parse(cls, text: str) -> TensorSpec:
        """Read `dtype[dims]` with an optional range of values.

        That is `in low..high` with an optional `descending` for integers, and for floats what `FloatRange` spells.

        Raises:
            SignatureError: the text does not have that form.
        """
        match = _SPEC.fullmatch(text.translate(_FULL_WIDTH))
        if match is None:
            raise SignatureError(f"'{text}' does not describe a tensor; {_EXAMPLE}.")
        dims = [part.strip() for part in match["dims"].split(",")] if match["dims"].strip() else []
        shape = tuple(int(dim) if re.fullmatch(r"-?\d+", dim) else normal_size(dim) for dim in dims)
        dtype, values = _OTHER_NAMES.get(match["dtype"], match["dtype"]), match["values"]
        if not values:
            return cls(dtype, shape)
        floats = parse_float_range(values)
        whole = _RANGE.fullmatch(values)
        if whole is not None and (floats is None or not dtype.startswith("float")):
            high = whole["high"] if whole["high"].isidentifier() else int(whole["high"])
            return cls(dtype, shape, (int(whole["low"]), high), whole["descending"] is not None)
        if floats is None:
            raise SignatureError(f"'{text}' does not describe a tensor; {_EXAMPLE}.")
        return cls(dtype, shape, floats=floats)

    @property
    def is_float(self) -> bool:
        return self.dtype.startswith("float")

    @property
    def symbols(self) -> tuple[str, ...]:
        """The names of the dynamic dimensions, in order."""
        return tuple(dim for dim in self.shape if isinstance(dim, str) and dim.isidentifier())

    @property
    def derived(self) -> tuple[str, ...]:
        """The sizes that follow from others, in order."""
        return tuple(dim for dim in self.shape if isinstance(dim, str) and not dim.isidentifier())

    @property
    def has_lengths(self) -> bool:
        """Whether its values are lengths along a dynamic dimension."""
        return self.range is not None and isinstance(self.range[1], str)

    @property
    def filler(self) -> float:
        """A value that it may take: 0 where that is one."""
        if self.range is not None:
            return self.range[0]
        return self.floats.typical if isinstance(self.floats, FloatRange) else 0

    def sized(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The concrete shape for given sizes of the dynamic dimensions.

        Raises:
            SignatureError: a size that follows from them is less than 1.
        """
        for dim in self.derived:
            if size_of(dim, sizes) < 1:
                given = ", ".join(f"{name}={sizes[name]}" for name in names_in(dim))
                raise SignatureError(f"A size of {dim} is {size_of(dim, sizes)} for {given}. Give larger ones.")
        return tuple(size_of(dim, sizes) if isinstance(dim, str) else dim for dim in self.shape)

    def fixed(self, sizes: Mapping[str, int]) -> TensorSpec:
        """The same with a plain number for each dynamic dimension that has a size here."""
        shape = tuple(with_sizes(dim, sizes) if isinstance(dim, str) else dim for dim in self.shape)
        if self.range is None:
            return replace(self, shape=shape)
        low, high = self.range
        return replace(self, shape=shape, range=(low, sizes.get(high, high) if isinstance(high, str) else high))

    def __str__(self) -> str:
        span = f" in {self.range[0]}..{self.range[1]}" if self.range else ""
        span = f" {self.floats}" if isinstance(self.floats, FloatRange) else span
        order = " descending" if self.descending else ""
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]{span}{order}"


@dataclass(frozen=True)
class Signature:
    """Names, dtypes and shapes of a model's inputs, names of its outputs, and which states pair up.

    Args:
        inputs: name to `TensorSpec` or its text. A name goes to `forward`'s argument of that name, `hx.0` and
            `batch.tokens` to parts of one (see `pytorch.bind`); names that no argument has, in order. Or texts as
            `--input` takes them: `"x: float32[T, N, 100]"`, or a list of such.
        outputs: names in flattened order; empty means "name them after what they are". One text is one name, or
            several with commas between them.
        states: input name to output name, such as `{"h0": "h_n"}`: feed the output back as the input. Or `"h0=h_n"`.

    Raises:
        SignatureError: a name is malformed or used twice, or a state names no input or output.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: tuple[str, ...]
    states: Mapping[str, str]

    def __init__(
        self,
        inputs: Mapping[str, TensorSpec | str] | Sequence[str] | str,
        outputs: Sequence[str] | str = (),
        states: Mapping[str, str] | Sequence[str] | str | None = None,
    ) -> None:
        described = inputs if isinstance(inputs, Mapping) else dict(map(parse_input, _texts(inputs, "inputs")))
        specs = with_whole_parts({name: _spec(name, given) for name, given in described.items()})
        names = outputs.split(",") if isinstance(outputs, str) else _texts(outputs, "outputs")
        pairs = states if isinstance(states, Mapping) else dict(map(parse_state, _texts(states or (), "states")))
        object.__setattr__(self, "inputs", specs)
        object.__setattr__(self, "outputs", tuple(name.strip() for name in names))
        object.__setattr__(self, "states", dict(pairs))
        self._check()

    def __repr__(self) -> str:
        states = f", states={dict(self.states)}" if self.states else ""
        inputs = {name: str(spec) for name, spec in self.inputs.items()}
        return f"Signature({inputs}, outputs={list(self.outputs)}{states})"

    def _check(self) -> None:
        if not self.inputs:
            raise SignatureError(f"A model needs at least one input; {_EXAMPLE}.")
        names = [*self.inputs, *self.outputs]
        for name in names:
            if not _NAME.fullmatch(name):
                raise SignatureError(f"'{name}' is not a name. Use letters, digits, underscores and dots.")
            if names.count(name) > 1:
                raise SignatureError(f"The name '{name}' is used twice. Give every input and output its own.")
        for name, spec in self.inputs.items():
            if spec.range is not None and spec.has_lengths and spec.range[1] not in self.symbols:
                known = f"Dynamic dimensions are {', '.join(self.symbols)}." if self.symbols else "There is none."
                raise SignatureError(f"Input '{name}' goes up to {spec.range[1]}, which is no dimension. {known}")
        plain = {dim for spec in self.inputs.values() for dim in spec.symbols}
        plain |= {
            names_in(dim)[0]
            for spec in self.inputs.values()
            for dim in spec.derived
            if slope_and_offset(dim) is not None
        }
        for name, spec in self.inputs.items():
            for dim in spec.derived:
                unknown = [each for each in names_in(dim) if each not in plain]
                if unknown:
                    raise SignatureError(
                        f"Input '{name}' has a size of {dim}, and no input has the size {unknown[0]} alone. Name it in "
                        "an input, or give it as a number."
                    )
        for before, after in self.states.items():
            if before not in self.inputs:
                raise SignatureError(f"The state '{before}' is not an input. Inputs are {', '.join(self.inputs)}.")
            if self.outputs and after not in self.outputs:
                raise SignatureError(f"The state '{after}' is not an output. Outputs are {', '.join(self.outputs)}.")

    @property
    def symbols(self) -> tuple[str, ...]:
        """The names of all dynamic dimensions, each once, in order of appearance."""
        specs = self.inputs.values()
        plain = (dim for spec in specs for dim in spec.symbols)
        return tuple(
            dict.fromkeys([*plain, *(name for spec in specs for dim in spec.derived for name in names_in(dim))])
        )

    def sizes(self, shapes: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """The size of each dynamic dimension in arrays of these shapes; what fits none is left out.

        A size that no array has alone is that from which the first that follows from it does: 5 for a `4*T` of 20.
        """
        sizes: dict[str, Any] = {}
        for name, spec in self.inputs.items():
            for dim, size in zip(spec.shape, shapes[name], strict=False):
                if isinstance(dim, str) and dim.isidentifier():
                    sizes.setdefault(dim, size)
        for name, spec in self.inputs.items():
            for dim, size in zip(spec.shape, shapes[name], strict=False):
                line = slope_and_offset(dim) if isinstance(dim, str) else None
                if line is not None:
                    sizes.setdefault(names_in(str(dim))[0], (size - line[1]) // line[0])
        return sizes

    def fits(self, sizes: Mapping[str, int]) -> bool:
        """Whether every size that follows from these is at least 1."""
        derived = [dim for spec in self.inputs.values() for dim in spec.derived]
        try:
            return all(size_of(dim, sizes) >= 1 for dim in derived)
        except SignatureError:
            return False

    def with_outputs(self, outputs: Sequence[str]) -> Signature:
        """The same signature with its outputs named."""
        return Signature(self.inputs, outputs, self.states)

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal signature."""
        return {
            "inputs": {name: str(spec) for name, spec in self.inputs.items()},
            "outputs": list(self.outputs),
            "states": dict(self.states),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Signature:
        return cls(data["inputs"], data["outputs"], data["states"])


def with_whole_parts(specs: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
    """The same where a size such as `H/2` is one of its own, H_2, and H is `2*H_2`: a multiple of 2.

    Raises:
        SignatureError: there is another size of that name, or the values of an input go up to H.
    """
    divisors: dict[str, int] = {}
    for dim in (dim for spec in specs.values() for dim in spec.derived):
        for name, divisor in divisors_in(dim).items():
            divisors[name] = lcm(divisors.get(name, 1), divisor)
    parts = {name: (f"{name}_{divisor}", divisor) for name, divisor in divisors.items()}
    named = {name for spec in specs.values() for dim in (*spec.symbols, *spec.derived) for name in names_in(dim)}
    for name, (part, divisor) in parts.items():
        if part in named:
            raise SignatureError(f"A size is {name}/{divisor}, and another is called {part}. Rename that.")
    found = {}
    for name, spec in specs.items():
        if spec.range is not None and spec.range[1] in parts:
            raise SignatureError(
                f"Input '{name}' goes up to {spec.range[1]}, of which there is a part. Give that part a name of its "
                f"own, and {spec.range[1]} as a multiple of it."
            )
        shape = tuple(with_parts(dim, parts) if isinstance(dim, str) else dim for dim in spec.shape)
        found[name] = replace(spec, shape=shape) if parts else spec
    return found


def is_name(text: str) -> bool:
    """Whether an input or output may be called that."""
    return _NAME.fullmatch(text) is not None


def parse_input(text: str) -> tuple[str, TensorSpec]:
    """Read `name: dtype[dims]`, the form of `--input`.

    Raises:
        SignatureError: the text does not have that form.
    """
    name, colon, spec = text.translate(_FULL_WIDTH).partition(":")
    if not colon or not _NAME.fullmatch(name.strip()):
        raise SignatureError(f"'{text}' does not describe an input; {_EXAMPLE}.")
    return name.strip(), TensorSpec.parse(spec)


def parse_state(text: str) -> tuple[str, str]:
    """Read `h0=h_n`, the form of `--state`.

    Raises:
        SignatureError: the text does not have that form.
    """
    before, _, after = (part.strip() for part in text.partition("="))
    if not is_name(before) or not is_name(after):
        raise SignatureError(f"'{text}' does not pair a state. Write it as input=output, such as h0=h_n.")
    return before, after


def as_signature(given: Any) -> Signature:
    """A signature, or what one is made of: a dictionary of inputs, a text, or a list of texts.

    Raises:
        SignatureError: it is none of these, or malformed.
    """
    return given if isinstance(given, Signature) else Signature(given)


def _texts(given: Any, what: str) -> Sequence[str]:
    """One text or several, as several."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise SignatureError(
            f"`{what}` is of type {type(given).__name__}. Give texts, such as 'x: float32[T, N, 100]'."
        )
    return texts


def _spec(name: str, given: TensorSpec | str) -> TensorSpec:
    if not isinstance(given, TensorSpec | str):
        raise SignatureError(f"Input '{name}' is described by {type_in_words(given)}; {_EXAMPLE}.")
    try:
        return TensorSpec.parse(given) if isinstance(given, str) else given
    except SignatureError as error:
        raise SignatureError(f"Input '{name}': {error}") from None
