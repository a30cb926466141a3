"""Ranges of floats: how they are written, which are refused, and which values they hold."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from rnn_export import FloatRange, Signature, SignatureError, TensorSpec
from rnn_export.bundle.manifest import Manifest


@pytest.mark.parametrize(
    ("text", "floats"),
    [
        ("in 0..1", FloatRange(0, 1)),
        ("in -1..1", FloatRange(-1, 1)),
        ("in 0.5 .. 2.5", FloatRange(0.5, 2.5)),
        ("in .5..1e3", FloatRange(0.5, 1000)),
        ("in 1. ..2.", FloatRange(1, 2)),
        ("> 0", FloatRange(0, above=True)),
        (">=0", FloatRange(0)),
        ("< 0", FloatRange(high=0, below=True)),
        ("<= 1", FloatRange(high=1)),
        ("> 0, <= 1", FloatRange(0, 1, above=True)),
        ("< 1 , >= 0", FloatRange(0, 1, below=True)),
        ("in {0, 1}", FloatRange(one_of=(0, 1))),
        ("in {-1,0.5, 1}", FloatRange(one_of=(-1, 0.5, 1))),
    ],
)
def test_a_range_is_read_and_spelled_alike(text: str, floats: FloatRange) -> None:
    spec = TensorSpec.parse(f"float32[T, N]{text}" if text[0] == ">" else f"float32[T, N] {text}")
    assert spec == TensorSpec("float32", ("T", "N"), floats=floats)
    assert TensorSpec.parse(str(spec)) == spec
    assert Signature.from_json(json.loads(json.dumps(Signature({"x": spec}).to_json()))) == Signature({"x": spec})
    assert msgspec.convert(msgspec.to_builtins(spec), TensorSpec) == spec


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("float32[T] in 1..0", "'in 1..0' is empty in float32. Write the smaller number first."),
        ("float32[T] > 1, < 1", "'> 1, < 1' is empty in float32. Leave a value between its ends."),
        ("float32[T] > 1, <= 0.5", "is empty in float32"),
        ("float16[T] > 1, < 1.0001", "is empty in float16"),
        ("float32[T] in nan..1", "A value range cannot end at nan. Leave that end out, as '> 0' does."),
        ("float32[T] in 0..inf", "cannot end at inf"),
        ("float64[T] > -infinity", "cannot end at -inf"),
        ("float32[T] in {0, nan}", "cannot end at nan"),
        ("float16[T] in 0..1e6", "'in 0..1000000' does not fit float16. Narrow it."),
        ("float32[T] < 1e39", "does not fit float32"),
        ("bool[T] > 0", "A value range is for integers; bool takes none. Leave it out."),
        ("bool[T] in 0..1", "A value range is for integers; bool takes none. Leave it out."),
        ("int64[T] > 0", "'> 0' is for floats. Give integers a range such as 'in 0..27'."),
        ("int64[T] in 0..2.5", "'in 0..2.5' is for floats."),
        ("int32[T] in {0, 1}", "'in {0, 1}' is for floats."),
        ("float32[T] in 0..T", "A value range is for integers; float32 takes none. Write numbers, such as 'in 0..1'"),
        ("float32[T] in 0..1 descending", "A value range is for integers; float32 takes none."),
        ("float32[T] > 0, > 1", "does not describe a tensor"),
        ("float32[T] in {}", "does not describe a tensor"),
        ("float32[T] = 0", "does not describe a tensor"),
        ("float32[T] 0..1", "does not describe a tensor"),
    ],
)
def test_a_range_that_holds_nothing_is_refused_with_the_remedy(text: str, said: str) -> None:
    with pytest.raises(SignatureError) as error:
        TensorSpec.parse(text)
    assert said in str(error.value)


def test_a_range_made_of_nothing_is_refused() -> None:
    with pytest.raises(SignatureError, match="A value range needs an end"):
        TensorSpec("float32", ("T",), floats=FloatRange())


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("in 0..0.1", [0, 0.05, 0.1], [-1e-6, 0.2, np.nan, np.inf]),
        ("> 0", [1e-45, 1e30], [0, -1, np.nan]),
        (">= 0", [0, 3], [-1e-45, -np.inf]),
        ("< 0.3", [0.2, -9], [0.3, 1]),
        ("in {0, 0.1}", [0, 0.1], [0.05, 1]),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_range_holds_its_ends_in_every_dtype(
    dtype: str, text: str, inside: list[float], outside: list[float]
) -> None:
    floats = TensorSpec.parse(f"{dtype}[T] {text}").floats
    assert floats
    assert floats.holds(np.array(inside, dtype)).all()
    assert not floats.holds(np.array(outside, dtype)).any()


def test_an_input_without_a_range_is_stored_as_before() -> None:
    assert msgspec.to_builtins(TensorSpec.parse("float32[T, 3]")) == {
        "dtype": "float32",
        "shape": ("T", 3),
        "range": None,
        "descending": False,
    }
    assert "floats" in str(msgspec.json.schema(Manifest))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("float32[T]", 0),
        ("int64[T] in 3..5", 3),
        ("float32[T] in -1..1", 0),
        ("float32[T] > 0", 1),
        ("float32[T] in 2..3", 2.5),
        ("float32[T] <= -4", -5),
        ("float32[T] in {1, 2}", 1),
    ],
)
def test_the_filler_is_a_value_that_the_input_may_take(text: str, value: float) -> None:
    assert TensorSpec.parse(text).filler == value
