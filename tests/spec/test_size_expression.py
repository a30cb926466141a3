"""Sizes that follow from others: what is read, what is refused, and what it is worth."""

from __future__ import annotations

import random

import numpy as np
import pytest
from rnn_export import Signature, SignatureError, TensorSpec
from rnn_export.pytorch.samples import sizes_of
from rnn_export.spec.size_expression import names_in, normal_size, size_of, slope_and_offset, with_sizes


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        (" 12 * ( T - 4 ) ", "12*(T-4)"),
        ("(T//2)", "T//2"),
        ("N*T", "N*T"),
        ("2*3", 6),
        ("(7)", 7),
        ("T", "T"),
        ("0*T", "0*T"),
    ],
)
def test_an_expression_is_kept_without_spaces(text: str, normal: str | int) -> None:
    assert normal_size(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "T/0",
        "T/N",
        "2/T",
        "(T+1)/2",
        "2**T",
        "-T",
        "f(T)",
        "T+",
        "2.5*T",
        "T if N else 1",
        "T[0]",
        "T.x",
        "(T",
        "",
        "True",
        "T" * 81,
        "1" + "+1" * 60,
        "T%2",
        "T N",
        "'T'",
        "T or N",
        "T<N",
        "é*2",
        "lambda: 1",
        "(" * 70 + "T",
    ],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(SignatureError, match=r"is not a dimension. Use a name such as T, .* such as 12\*\(T-4\)"):
        normal_size(text)


def test_a_part_of_a_size_has_a_name_of_its_own() -> None:
    signature = Signature(
        {"mel": "float32[N, H, T]", "half": "float32[N, H/2, T]", "third": "float32[H/3+1, T]", "flat": "float32[H*N]"}
    )
    shapes = {name: spec.shape for name, spec in signature.inputs.items()}
    assert shapes == {
        "mel": ("N", "6*H_6", "T"),
        "half": ("N", "3*H_6", "T"),
        "third": ("2*H_6+1", "T"),
        "flat": ("6*H_6*N",),
    }
    assert signature.inputs["half"].sized({"N": 1, "H_6": 2, "T": 5}) == (1, 6, 5)
    assert Signature(dict(signature.inputs)) == signature


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"a": "float32[H, H/2]", "b": "float32[H_2]"}, "A size is H/2, and another is called H_2. Rename that."),
        ({"a": "float32[H, H/2]", "n": "int64[N] in 1..H"}, "Input 'n' goes up to H, of which there is a part."),
    ],
)
def test_a_part_that_cannot_be_named(inputs: dict[str, str], said: str) -> None:
    with pytest.raises(SignatureError, match=said):
        Signature(inputs)


@pytest.mark.parametrize("T", [1, 2, 3, 4, 5, 17, 400, *random.Random(0).sample(range(6, 4000), 5)])
def test_its_value_is_that_of_python(T: int) -> None:
    for text in ("12*(T-4)", "T//2", "(T-5)//2+3", "N*T", "T-N+2*N", "(T+1)//2*2", "3", "T*(T+1)//2"):
        assert size_of(text, {"T": T, "N": 3}) == eval(text, {"T": T, "N": 3})


@pytest.mark.parametrize(
    ("text", "line"),
    [("12*(T-4)", (12, -48)), ("T*4", (4, 0)), ("T+T+1", (2, 1)), ("3*(2*T-1)-2", (6, -5)), ("T-4", (1, -4))]
    + [(text, None) for text in ("T//2", "N*T", "T*T", "4-T", "0*T", "T-T", "7*(3-T)", "2*(T//2)", "N+T")],
)
def test_a_straight_line_of_one_name_is_known(text: str, line: tuple[int, int] | None) -> None:
    assert slope_and_offset(text) == line


def test_sizes_that_are_known_are_put_in() -> None:
    assert with_sizes("12*(T-4)", {"T": 9}) == 60
    assert with_sizes("N*(T-4)", {"T": 9}) == "N*(9-4)"
    assert with_sizes("N*T", {"S": 9}) == "N*T"
    assert names_in("N*T+N") == ("N", "T")


def test_a_spec_spells_what_it_reads() -> None:
    spec = TensorSpec.parse("float32[N, 12 * (T - 4), 2 * 3] > 0")
    assert str(spec) == "float32[N, 12*(T-4), 6] > 0"
    assert (spec.symbols, spec.derived) == (("N",), ("12*(T-4)",))
    assert spec.sized({"N": 2, "T": 9}) == (2, 60, 6)
    assert str(spec.fixed({"T": 9})) == "float32[N, 60, 6] > 0"
    with pytest.raises(SignatureError, match=r"A size of 12\*\(T-4\) is 0 for T=4. Give larger ones."):
        spec.sized({"N": 2, "T": 4})


WAVE = Signature({"wav": "float32[N, 12*(T-4)]", "spec": "float32[N, T, 6]"})


def test_a_signature_keeps_its_sizes() -> None:
    assert WAVE.symbols == ("N", "T")
    assert Signature.from_json(WAVE.to_json()) == WAVE
    assert [WAVE.fits({"N": 1, "T": T}) for T in (1, 4, 5)] == [False, False, True]


@pytest.mark.parametrize("T", [5, 6, 17, 400])
def test_what_comes_in_is_checked(T: int) -> None:
    given = {"wav": np.zeros((2, 12 * (T - 4)), np.float32), "spec": np.zeros((2, T, 6), np.float32)}
    assert sizes_of(WAVE, given) == {"N": 2, "T": T}
    for wrong in (-1, 1, 12):
        other = {**given, "wav": np.zeros((2, 12 * (T - 4) + wrong), np.float32)}
        with pytest.raises(
            SignatureError, match=rf"not float32\[N, 12\*\(T-4\)\], where T is {T}. Give an array that fits"
        ):
            sizes_of(WAVE, other)


def test_a_size_that_none_has_alone_comes_from_its_multiple() -> None:
    signature = Signature({"x": "float32[N, 4*T+4, 6]"})
    assert signature.symbols == ("N", "T")
    assert sizes_of(signature, {"x": np.zeros((2, 24, 6), np.float32)}) == {"N": 2, "T": 5}
    with pytest.raises(SignatureError, match=r"float32\[2, 23, 6\], not float32\[N, 4\*T\+4, 6\], where T is 4"):
        sizes_of(signature, {"x": np.zeros((2, 23, 6), np.float32)})


@pytest.mark.parametrize("dim", ["T*T", "T//2", "0*T", "4-T", "S*T"])
def test_a_size_that_nothing_tells_is_refused(dim: str) -> None:
    with pytest.raises(SignatureError, match="and no input has the size [ST] alone. Name it in an input"):
        Signature({"x": f"float32[N, {dim}]"})


@pytest.mark.parametrize("text", ["4//0", "(2-2)*3//(1-1)"])
def test_a_number_that_divides_by_zero_is_refused(text: str) -> None:
    with pytest.raises(SignatureError, match="divides by 0"):
        normal_size(text)
    assert not Signature({"x": "float32[T]", "y": "float32[T//(T-1)]"}).fits({"T": 1})
