"""States: initial values at given sizes, and the JSON form, which infinity and NaN survive."""

from __future__ import annotations

import json
import math

import msgspec
import numpy as np
import pytest
from rnn_export import Signature
from rnn_export.spec.streams import State, StateEntry, StreamSpec, after_name, declared_states, multiply, reset_of


def test_one_number_for_every_element() -> None:
    state = State("h0", "h_n", "float32", (2, "N", 3), 0.5)
    assert np.array_equal(state.initial({"N": 4}), np.full((2, 4, 3), 0.5, np.float32))
    assert state.initial({"N": 4}).dtype == np.float32
    assert state.reset_text == "0.5"


def test_values_are_the_same_for_every_sequence() -> None:
    state = State("h0", "h_n", "float64", (2, "6*N", 2), (1.0, 2.0, 3.0, 4.0))
    initial = state.initial({"N": 2, "T": 7})
    assert initial.shape == (2, 12, 2)
    assert (initial[0] == [1, 2]).all()
    assert (initial[1] == [3, 4]).all()
    assert state.reset_text == "1,2,3,4"


def test_an_initial_value_may_be_written_to() -> None:
    state = State("h0", "h_n", "float32", ("N", 2))
    state.initial({"N": 3})[0, 0] = 1
    assert not state.initial({"N": 3}).any()


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_dtypes(dtype: str) -> None:
    assert State("count0", "count_n", dtype, ("N",), 1.0).initial({"N": 2}).dtype == dtype


def test_json_and_back() -> None:
    odd = (math.inf, -math.inf, 0.1, -0.0, 3.0)
    states = (State("a.h0", "a.h_n", "float32", (1, "N", 5), odd), State("b.h0", "b.h_n", "bool", ()))
    stream = StreamSpec.of("T", states)
    text = json.dumps(msgspec.to_builtins(stream), allow_nan=False)
    assert msgspec.json.decode(text, type=StreamSpec) == stream
    assert stream.states == states
    assert json.loads(text)["states"]["a.h0"]["reset"] == ["Infinity", "-Infinity", 0.1, -0.0, 3]
    back = State("h0", "h_n", "float32", (), math.nan).entry.named("h0")
    assert isinstance(back.reset, float)
    assert math.isnan(back.reset)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_reset_value_is_read_as_exactly_what_it_was(dtype: str) -> None:
    values = np.random.default_rng(0).standard_normal((1, 1, 50)).astype(dtype)
    state = State("h0", "h_n", dtype, (1, "N", 50), reset_of(values))
    back = msgspec.json.decode(msgspec.json.encode(state.entry), type=StateEntry).named("h0")
    assert np.array_equal(back.initial({"N": 1}), values)


def test_the_shortest_form_of_a_reset_value() -> None:
    assert reset_of(np.zeros((1, 1, 4), np.float32)) == 0.0
    assert reset_of(np.full((1, 3), 0.1, np.float32)) == 0.1
    assert reset_of(np.array([1, 2], np.int64)) == (1.0, 2.0)


def test_products() -> None:
    sizes = {"N": 3, "T": 5}
    assert [multiply(text, sizes) for text in ("N", "6*N", "N*T", "2*N*T")] == [3, 18, 15, 30]


def test_names_pair_by_rule() -> None:
    assert [after_name(name) for name in ("h0", "c0", "rnn.0.h0", "x", "0")] == ["h_n", "c_n", "rnn.0.h_n", "", "_n"]


def test_declared_states() -> None:
    signature = Signature({"x": "float32[T, N, 3]", "h0": "float32[2, N, 4]"}, ["y", "h_n"], {"h0": "h_n"})
    assert declared_states(signature) == (State("h0", "h_n", "float32", (2, "N", 4), 0.0),)
