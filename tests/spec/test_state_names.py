"""Templates for the names of states: what each field stands for, and what cannot be a name."""

from __future__ import annotations

import pytest
from rnn_export import InputError
from rnn_export.spec.state_names import GENAI, chosen_names

LSTM = ["rnn.0.h0", "rnn.0.c0", "rnn.1.h0", "rnn.1.c0"]


@pytest.mark.parametrize(
    ("template", "last"),
    [
        ("{kind}{layer}", ("c1", "c1_n")),
        ("s{index}=next.s{index}", ("s3", "next.s3")),
        ("{module}.{kind}=new.{module}.{kind}", ("rnn.1.c", "new.rnn.1.c")),
        (GENAI, ("past_key_values.1.recurrent_state", "present.1.recurrent_state")),
    ],
)
def test_each_field_is_filled_in(template: str, last: tuple[str, str]) -> None:
    chosen = chosen_names(template, LSTM)
    assert list(chosen) == LSTM
    assert chosen["rnn.1.c0"] == last


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("h{layer}", "calls more than one state 'h0'; they are rnn.0.h0, rnn.0.c0"),
        ("s{index}=s{index}", "calls more than one state 's0'"),
        ("a b{index}", "A state would be called 'a b0'. Use letters"),
        ("s{index}=", "A state would be called ''"),
    ],
)
def test_names_are_names_and_differ(template: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        chosen_names(template, LSTM)


def test_windows_are_what_genai_calls_conv_states() -> None:
    chosen = chosen_names(GENAI, ["0.conv.x0", "1.conv.x0", "0.rnn.h0", "1.rnn.h0"])
    assert {name: before for name, (before, _) in chosen.items()} == {
        "0.conv.x0": "past_key_values.0.conv_state",
        "0.rnn.h0": "past_key_values.0.recurrent_state",
        "1.conv.x0": "past_key_values.1.conv_state",
        "1.rnn.h0": "past_key_values.1.recurrent_state",
    }


def test_an_odd_number_of_states_is_none_for_genai() -> None:
    with pytest.raises(InputError, match=r"two states to a layer, and the model has 3: a.h0, b.h0, c.h0"):
        chosen_names(GENAI, ["a.h0", "b.h0", "c.h0"])
