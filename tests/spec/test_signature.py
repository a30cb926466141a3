"""Signatures: reading them, what is refused and in which words, and JSON."""

from __future__ import annotations

import pytest
from rnn_export import Signature, SignatureError, TensorSpec
from rnn_export.spec.signature import parse_input


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("float32[T, N, 100]", TensorSpec("float32", ("T", "N", 100))),
        ("  float64[ N,T ] ", TensorSpec("float64", ("N", "T"))),
        ("int64[N, T] in 0..27", TensorSpec("int64", ("N", "T"), (0, 27))),
        ("int32[] in -3..3", TensorSpec("int32", (), (-3, 3))),
        ("int64[N] in 1..T", TensorSpec("int64", ("N",), (1, "T"))),
        ("int64[N] in 1 .. T  descending ", TensorSpec("int64", ("N",), (1, "T"), descending=True)),
        ("int32[N] in 0..9 descending", TensorSpec("int32", ("N",), (0, 9), descending=True)),
    ],
)
def test_a_spec_is_read_and_spelled_alike(text: str, spec: TensorSpec) -> None:
    assert TensorSpec.parse(text) == spec
    assert TensorSpec.parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("float32", "does not describe a tensor; write it like 'x: float32[T, N, 100]'"),
        ("float32[T, N", "does not describe a tensor"),
        ("float8[T]", "Unknown dtype 'float8'. Use one of float32,"),
        ("float32[T, 0]", "A fixed dimension must be at least 1, not 0."),
        ("float32[T, 99999999999]", "A fixed dimension of 99999999999 is too large."),
        ("float32[T, -1]", "must be at least 1, not -1"),
        ("float32[T,, 3]", "'' is not a dimension"),
        ("float32[T/N, 3]", "'T/N' is not a dimension. Use a name such as T, a positive number, or a size that"),
        ("int64[T] in 5..1", "The value range 5..1 is empty."),
        ("int32[T] in 0..9999999999", "The value range 0..9999999999 does not fit int32."),
        ("bool[T] in 0..1", "A value range is for integers; bool takes none."),
        ("float32[N] in 1..T", "A value range is for integers; float32 takes none."),
        ("int64[N] in 1..T ascending", "does not describe a tensor"),
        ("int64[N] descending", "does not describe a tensor"),
        ("int64[N] in 1..Tdescending x", "does not describe a tensor"),
        ("int64[] in 1..T descending", "A single number is in no order. Leave out 'descending'."),
    ],
)
def test_a_malformed_spec_is_refused_with_the_remedy(text: str, said: str) -> None:
    with pytest.raises(SignatureError) as error:
        TensorSpec.parse(text)
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["float32[T]", ": float32[T]", "a b: float32[T]", "x float32[T]"])
def test_an_input_needs_a_name(text: str) -> None:
    with pytest.raises(SignatureError, match="does not describe an input"):
        parse_input(text)


def test_symbols_are_listed_once_in_order() -> None:
    signature = Signature({"x": "float32[T, N, 3]", "h0": "float32[1, N, 4]", "y": "int64[S]"})
    assert signature.symbols == ("T", "N", "S")


@pytest.mark.parametrize(
    ("inputs", "outputs", "states", "said"),
    [
        ({}, [], {}, "at least one input"),
        ({"x": "float32[T]"}, ["x"], {}, "The name 'x' is used twice"),
        ({"x": "float32[T]"}, ["y", "y"], {}, "The name 'y' is used twice"),
        ({"x": "float32[T]"}, ["bad name"], {}, "'bad name' is not a name"),
        ({"x": "float32[T]"}, ["y"], {"h0": "y"}, "The state 'h0' is not an input. Inputs are x."),
        ({"x": "float32[T]"}, ["y"], {"x": "z"}, "The state 'z' is not an output. Outputs are y."),
        ({"x": "nonsense"}, [], {}, "Input 'x': 'nonsense' does not describe a tensor"),
        (
            {"x": "float32[T, N]", "lengths": "int64[N] in 1..S"},
            [],
            {},
            "Input 'lengths' goes up to S, which is no dimension. Dynamic dimensions are T, N.",
        ),
        (
            {"x": "float32[3]", "lengths": "int64[2] in 1..T"},
            [],
            {},
            "goes up to T, which is no dimension. There is none.",
        ),
    ],
)
def test_an_impossible_signature_is_refused(
    inputs: dict[str, str], outputs: list[str], states: dict[str, str], said: str
) -> None:
    with pytest.raises(SignatureError) as error:
        Signature(inputs, outputs, states)
    assert said in str(error.value)


def test_json_and_back_is_the_same_signature() -> None:
    inputs = {"x": "int64[N, T] in 0..3", "h0": "float32[N, 4]", "lengths": "int64[N] in 1..T descending"}
    signature = Signature(inputs, ["y", "h_n"], {"h0": "h_n"})
    assert Signature.from_json(signature.to_json()) == signature
