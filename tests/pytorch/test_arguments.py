"""`--set key=value`: reading values and checking them against a factory."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from rnn_export import LoadError
from rnn_export.pytorch.arguments import check_arguments, parse_settings


def factory(
    size: int = 1,
    widths: tuple[int, ...] = (1,),
    cell: Literal["gru", "lstm"] = "gru",
    rate: float = 0.0,
    deep: bool = False,
    name: str | None = None,
) -> None: ...


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("64,64", (64, 64)), ("0.5", 0.5), ("gru", "gru"), ("true", True), ("False", False), ("none", None),
     ("[1, 2]", [1, 2]), ("a=b", "a=b"), ("'7'", "7")],
)  # fmt: skip
def test_a_value_is_a_literal_or_text(text: str, value: Any) -> None:
    assert parse_settings([f"key={text}"]) == {"key": value}


@pytest.mark.parametrize("text", ["key", "=3", "a b=3"])
def test_a_setting_has_a_key_and_a_value(text: str) -> None:
    with pytest.raises(LoadError, match="is not a setting. Write it as key=value"):
        parse_settings([text])


def test_values_fit_their_annotations() -> None:
    given = {"size": 2, "widths": 64, "cell": "lstm", "rate": 1, "deep": True, "name": None}
    assert check_arguments(factory, given) == {**given, "widths": (64,)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sise": 1}, "The model has no argument 'sise'. Did you mean 'size'? It takes size, widths,"),
        ({"size": "two"}, "size='two' does not fit. It must be a whole number."),
        ({"size": True}, "size=True does not fit. It must be a whole number."),
        ({"widths": (1, "a")}, "It must be values separated by commas, each a whole number."),
        ({"cell": "rnn"}, "cell='rnn' does not fit. It must be one of gru, lstm."),
        ({"deep": 1}, "deep=1 does not fit. It must be true or false."),
        ({"name": 3}, "It must be text or none."),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(LoadError) as error:
        check_arguments(factory, given)
    assert said in str(error.value)


def test_a_missing_argument_is_named() -> None:
    def needs(width: int) -> None: ...

    with pytest.raises(LoadError, match="needs a value for width. Pass `width=VALUE`"):
        check_arguments(needs, {})


def test_keyword_catch_alls_take_anything() -> None:
    def anything(**options: Any) -> None: ...

    assert check_arguments(anything, {"x": 1}) == {"x": 1}
