"""Cases cover every kind of size and value, and are reproducible from the seed."""

from __future__ import annotations

import numpy as np
import pytest
from rnn_export import Signature, SignatureError
from rnn_export.parity.cases import limit_cases, make_cases, random_cases
from rnn_export.pytorch.samples import Case, check_ranges, make_inputs, traced_sizes

SIGNATURE = Signature({"x": "float32[T, N, 7]", "tokens": "int64[N, T] in 2..5"})


def test_sizes_cover_every_kind() -> None:
    cases = make_cases(SIGNATURE, traced_sizes(SIGNATURE), seed=0)
    sizes = {(case.sizes["T"], case.sizes["N"]) for case in cases}
    assert len(sizes) >= 12
    assert (1, 1) in sizes
    assert any(T == 1 and N > 1 for T, N in sizes)
    assert any(N == 1 and T > 1 for T, N in sizes)
    assert any(T >= 257 for T, N in sizes)
    assert {case.values for case in cases} == {"ordinary", "zero", "saturating", "denormal", "infinite", "nan"}


def test_traced_sizes_differ_from_fixed_ones_and_from_each_other() -> None:
    assert traced_sizes(SIGNATURE) == {"T": 5, "N": 11}


def test_only_sequences_saturate() -> None:
    specs = {"h0": "float32[1, N, 4]", "x": "float32[T, N, 4]", "c0": "float32[T, N, 4]", "tokens": "int64[T, N]"}
    case = Case({"T": 4, "N": 3}, "saturating", seed=1)
    inputs = make_inputs(Signature(specs, ["y", "c_n"], {"c0": "c_n"}), case)
    assert {name: bool(np.abs(array).max() > 20) for name, array in inputs.items()} == {
        "h0": False,
        "x": True,
        "c0": False,
        "tokens": False,
    }


def test_too_many_symbols_are_refused() -> None:
    shape = ", ".join(f"D{i}" for i in range(9))
    with pytest.raises(SignatureError, match="At most 8 dynamic dimensions"):
        traced_sizes(Signature({"x": f"float32[{shape}]"}))


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        ("ordinary", lambda x: np.isfinite(x).all() and x.std() > 0.5),
        ("zero", lambda x: not x.any()),
        ("saturating", lambda x: np.abs(x).max() > 50),
        ("denormal", lambda x: (np.abs(x) < np.finfo(np.float32).tiny).all() and x.any()),
        ("infinite", lambda x: np.isinf(x).sum() == 1),
        ("nan", lambda x: np.isnan(x).sum() == 1),
    ],
)
def test_values(values: str, holds: object) -> None:
    case = Case({"T": 4, "N": 3}, values, seed=1)  # type: ignore[arg-type]
    one, same = make_inputs(SIGNATURE, case), make_inputs(SIGNATURE, case)
    assert holds(one["x"])  # type: ignore[operator]
    assert 2 <= one["tokens"].min() <= one["tokens"].max() <= 5
    for name in one:
        np.testing.assert_array_equal(one[name], same[name])


def test_an_example_is_cut_and_repeated_to_size() -> None:
    example = {"x": np.ones((2, 3, 7), np.float32), "tokens": np.arange(2, 8).reshape(3, 2) % 4 + 2}
    inputs = make_inputs(SIGNATURE, Case({"T": 4, "N": 1}, "ordinary", 0), example)
    assert inputs["x"].shape == (4, 1, 7)
    np.testing.assert_array_equal(inputs["tokens"], [[4, 5, 4, 5]])


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ({"x": np.ones((2, 3, 7), np.float32)}, "The example has no 'tokens'"),
        (
            {"x": np.ones((2, 3, 8), np.float32), "tokens": np.ones((2, 3), np.int32)},
            "The example's 'x' is float32[2, 3, 8], not float32[T, N, 7]",
        ),
        (
            {"x": np.ones((2, 3, 7)), "tokens": np.ones((2, 3), np.int32)},
            "The example's 'x' is float64[2, 3, 7]",
        ),
        (
            {"x": np.ones((2, 3, 7), np.float32), "tokens": np.ones((2, 3), np.int64)},
            "The example's 'tokens' is int64[2, 3]",
        ),
    ],
)
def test_an_example_that_does_not_fit(example: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(SignatureError) as error:
        traced_sizes(SIGNATURE, example)
    assert said in str(error.value)


LENGTHS = Signature({"x": "float32[T, N, 7]", "lengths": "int64[N] in 1..T", "ordered": "int32[N] in 2..T descending"})


@pytest.mark.parametrize(
    ("values", "least", "most"),
    [("ordinary", 1, 9), ("zero", 1, 1), ("longest", 9, 9), ("shorter", 1, 5), ("shortest", 1, 1), ("nan", 9, 9)],
)
def test_lengths_vary_within_the_size_of_their_dimension(values: str, least: int, most: int) -> None:
    inputs = make_inputs(LENGTHS, Case({"T": 9, "N": 200}, values, seed=1))  # type: ignore[arg-type]
    assert (inputs["lengths"].min(), inputs["lengths"].max()) == (least, most)
    assert inputs["ordered"].dtype == np.int32
    assert (np.diff(inputs["ordered"]) <= 0).all()
    assert inputs["ordered"].min() == max(least, 2)
    assert (np.diff(inputs["lengths"]) > 0).any() == (least < most)
    assert (values == "zero") == (not inputs["x"].any())


def test_lengths_have_cases_of_their_own() -> None:
    cases = make_cases(LENGTHS, traced_sizes(LENGTHS), seed=0)
    assert {case.values for case in cases} >= {"longest", "shorter", "shortest"}
    assert len({case.name for case in cases}) == len(cases)
    inputs = make_inputs(LENGTHS, Case({"T": 1, "N": 3}, "shorter", seed=1))
    assert inputs["lengths"].tolist() == [1, 1, 1]


def test_lengths_of_an_example_are_cut_to_the_size_of_their_dimension() -> None:
    example = {"x": np.ones((9, 2, 7), np.float32), "lengths": np.array([9, 4]), "ordered": np.array([7, 3], np.int32)}
    inputs = make_inputs(LENGTHS, Case({"T": 5, "N": 3}, "ordinary", 0), example)
    assert inputs["lengths"].tolist() == [5, 4, 5]
    assert inputs["ordered"].tolist() == [5, 5, 3]
    assert make_inputs(LENGTHS, Case({"T": 5, "N": 2}, "longest", 0), example)["lengths"].tolist() == [5, 5]


@pytest.mark.parametrize(
    ("lengths", "said"),
    [([10, 4], "holds 10, which is not in 1..T, where T is 9"), ([9, 0], "holds 0, which is not in 1")],
)
def test_lengths_of_an_example_out_of_range(lengths: list[int], said: str) -> None:
    example = {"x": np.ones((9, 2, 7), np.float32), "lengths": np.array(lengths), "ordered": np.array([7, 3], np.int32)}
    with pytest.raises(SignatureError, match=f"The example's 'lengths' {said}"):
        check_ranges(LENGTHS, example)


def test_tokens_of_an_example_out_of_range() -> None:
    signature = Signature({"tokens": "int64[T, N] in 0..27"})
    check_ranges(signature, {"tokens": np.array([[0, 27]])})
    with pytest.raises(SignatureError, match=r"'tokens' holds 28, which is not in 0..27. Give one that fits"):
        check_ranges(signature, {"tokens": np.array([[0, 28]])})


def test_a_size_of_one_in_an_example_is_not_traced() -> None:
    example = make_inputs(SIGNATURE, Case({"T": 9, "N": 1}, "ordinary", 0))
    traced = traced_sizes(SIGNATURE, example)
    assert traced["T"] == 9
    assert traced["N"] > 1


def test_an_empty_example_is_refused() -> None:
    example = make_inputs(SIGNATURE, Case({"T": 0, "N": 2}, "ordinary", 0))
    with pytest.raises(SignatureError, match="empty along T"):
        traced_sizes(SIGNATURE, example)


RANGES = ["in 0..1", "in -1..1", "in 0.5..2.5", "in -3..-2", "> 0", ">= 0", "> 2.5", "< 0", "<= 1", "> 0, < 1"]


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
@pytest.mark.parametrize("text", [*RANGES, "in {0, 1}", "in {-1, 0.25, 1}"])
def test_every_kind_of_value_lies_in_the_range(text: str, dtype: str) -> None:
    signature = Signature({"x": f"{dtype}[T, N, 3] {text}"})
    floats = signature.inputs["x"].floats
    assert floats
    cases = make_cases(signature, {"T": 5, "N": 9}, seed=4)
    kinds = {case.values for case in cases}
    assert not kinds & {"infinite", "nan"}
    assert ("zero" in kinds) == bool(floats.holds(np.zeros((), dtype)))
    low, high = floats.ends(dtype)
    assert ("denormal" in kinds) == (low < 1e-39 and high > -1e-39 and not floats.one_of)
    assert ("saturating" in kinds) == (not text.startswith("in {"))
    for case in cases:
        array = make_inputs(signature, case)["x"]
        assert array.dtype == dtype
        assert floats.holds(array).all(), case


def test_values_of_a_range_fill_it() -> None:
    signature = Signature({"x": "float32[T, N] in 2..6", "p": "float32[T, N] > 0", "f": "float32[T, N] in {0, 1}"})
    inputs = make_inputs(signature, Case({"T": 40, "N": 50}, "ordinary", 0))
    assert 2 <= inputs["x"].min() < 2.1
    assert 5.9 < inputs["x"].max() <= 6
    assert 0 < inputs["p"].min() < 0.2
    assert inputs["p"].max() > 5
    assert 0.4 < inputs["f"].mean() < 0.6
    ends = make_inputs(signature, Case({"T": 40, "N": 50}, "saturating", 0))
    assert set(np.unique(ends["x"])) == {2, 6}
    assert ends["p"].max() > 50


def test_a_range_of_one_input_leaves_the_others_their_kinds() -> None:
    signature = Signature({"p": "float32[T] > 1", "x": "float32[T]"})
    kinds = {case.values for case in make_cases(signature, {"T": 7}, seed=0)}
    assert kinds == {"ordinary", "zero", "saturating", "denormal", "infinite", "nan"}
    for kind in ("zero", "denormal", "infinite", "nan"):
        inputs = make_inputs(signature, Case({"T": 7}, kind, 0))  # type: ignore[arg-type]
        assert (inputs["p"] > 1).all()
        assert (np.abs(inputs["x"]) < 1e-30).all() or not np.isfinite(inputs["x"]).all()


def test_an_example_out_of_a_range_of_floats() -> None:
    signature = Signature({"x": "float32[T] > 0"})
    check_ranges(signature, {"x": np.array([0.5, 3], np.float32)})
    with pytest.raises(SignatureError, match=r"The example's 'x' holds -0.5, which is not > 0. Give one that fits."):
        check_ranges(signature, {"x": np.array([0.5, -0.5], np.float32)})
    with pytest.raises(SignatureError, match="holds nan"):
        check_ranges(signature, {"x": np.array([0.5, np.nan], np.float32)})


def test_an_example_keeps_to_the_range_in_every_kind() -> None:
    signature = Signature({"x": "float32[T] in 0..1"})
    example = {"x": np.array([0.25, 0.5], np.float32)}
    for case in make_cases(signature, {"T": 5}, seed=0):
        array = make_inputs(signature, case, example)["x"]
        assert ((array >= 0) & (array <= 1)).all(), case
        if case.values == "ordinary":
            assert set(array) <= {0.25, 0.5}


def test_random_values_beside_an_example_are_not_its_own() -> None:
    signature = Signature(
        {"x": "float32[T, N]", "tokens": "int64[T]", "zeros": "int64[T]", "lengths": "int64[N] in 1..T"}
    )
    example = {
        "x": np.zeros((3, 2), np.float32),
        "tokens": np.array([4, 9, 6]),
        "zeros": np.zeros(3, np.int64),
        "lengths": np.ones(2, np.int64),
    }
    cases = random_cases(signature, {"T": 3, "N": 2}, seed=0)
    assert len({case.name for case in cases}) == len(cases) >= 4
    inputs = make_inputs(signature, Case({"T": 300, "N": 200}, "random", 0), example)
    assert inputs["x"].std() > 0.9
    assert set(inputs["tokens"]) == {4, 5, 6, 7, 8, 9}
    assert set(inputs["zeros"]) == {0, 1}
    assert inputs["lengths"].max() == 300


def test_there_are_cases_next_to_the_limits_of_a_model() -> None:
    signature = Signature({"x": "float32[T, N, 3]"})
    cases = limit_cases(signature, {"T": [500, 501], "N": [1, 20_000]}, 0)
    assert [case.sizes for case in cases] == [{"T": size, "N": 2} for size in (500, 501, 1003)]
