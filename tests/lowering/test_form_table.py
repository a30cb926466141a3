"""The table of forms is whole, gives what it says, and is what the documentation shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from rnn_export.errors import InputError
from rnn_export.lowering.forms import (
    CAUSAL_CONVOLUTION,
    CONVOLUTION_FORMS,
    FORMS,
    KINDS,
    LINEAR_ATTENTION,
    LINEAR_FORMS,
    STEPPED,
    TABLE,
    Entry,
    check_lowering,
    forms_for,
    forms_to_time,
)
from rnn_export.spec.forms import TARGETS, Form, Target

PAGE = Path(__file__).parents[2] / "docs" / "internals" / "lowering.md"
ROW = re.compile(r"^\| (\w+) \| (\w+) \| (\w+) \| (.+) \|$", re.MULTILINE)


def rows(heading: str) -> dict[tuple[str, str], tuple[str, str]]:
    """The page's table under a heading: (target, kind) to (form, why)."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return {(target, kind): (form, why) for target, kind, form, why in ROW.findall(section) if target != "target"}


def flat(table: Mapping[Target, Mapping[str, Entry]]) -> dict[tuple[str, str], tuple[str, str]]:
    return {
        (target, kind): (entry.form, entry.why) for target, entries in table.items() for kind, entry in entries.items()
    }


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_form_and_a_reason_for_every_kind(target: Target) -> None:
    assert set(TABLE[target]) - {"float64", "lengths"} == {*KINDS, LINEAR_ATTENTION, CAUSAL_CONVOLUTION}
    forms = {LINEAR_ATTENTION: LINEAR_FORMS, CAUSAL_CONVOLUTION: CONVOLUTION_FORMS}
    for kind, entry in TABLE[target].items():
        assert entry.form in forms.get(kind, FORMS)
        assert entry.why.strip()


def test_page_shows_the_table() -> None:
    assert rows("Whole sequences") == flat(TABLE)


def test_page_shows_the_table_of_streams() -> None:
    assert rows("Streams") == flat(STEPPED)


@pytest.mark.parametrize("target", TARGETS)
def test_forms_are_those_of_the_table(target: Target) -> None:
    whole = {kind: entry.form for kind, entry in TABLE[target].items()}
    stepped = {kind: entry.form for kind, entry in STEPPED.get(target, {}).items()}
    assert forms_for("auto", target, stateful=False) == whole
    assert forms_for("auto", target, stateful=True) == whole | stepped


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("form", FORMS)
def test_a_form_that_is_asked_for_is_taken_everywhere(form: Form, target: Target) -> None:
    forms = {**forms_for(form, target, stateful=True)}
    linear = forms.pop(LINEAR_ATTENTION)
    assert forms.pop(CAUSAL_CONVOLUTION) == "native"
    assert forms == dict.fromkeys(KINDS, form)
    assert linear == ("scan" if form == "scan" else TABLE[target][LINEAR_ATTENTION].form)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("form", ["contrib", "standard"])
def test_a_form_of_linear_attention_leaves_layers_as_the_table_has_them(form: Form, target: Target) -> None:
    whole = {kind: entry.form for kind, entry in TABLE[target].items()}
    assert forms_for(form, target, stateful=False) == {**whole, LINEAR_ATTENTION: form}


def test_a_causal_convolution_has_an_operator_with_a_state_in_a_stream_alone() -> None:
    assert forms_for("contrib", "cuda", stateful=True)[CAUSAL_CONVOLUTION] == "contrib"
    assert forms_for("auto", "cpu", stateful=True)[CAUSAL_CONVOLUTION] == "contrib"
    assert forms_for("contrib", "cpu", stateful=False)[CAUSAL_CONVOLUTION] == "native"
    assert forms_for("standard", "cpu", stateful=True)[CAUSAL_CONVOLUTION] == "native"


def test_tuning_times_what_the_target_and_the_opset_have() -> None:
    def forms(kind: str, target: Target, opset: int) -> set[Form]:
        return {*forms_to_time(kind, target, opset, int8=False, stateful=True)}

    assert forms(LINEAR_ATTENTION, "cpu", 18) == {"contrib", "scan"}
    assert forms(LINEAR_ATTENTION, "cpu", 27) == {"contrib", "standard", "scan"}
    assert forms(LINEAR_ATTENTION, "portable", 27) == {"standard", "scan"}
    assert forms(CAUSAL_CONVOLUTION, "cpu", 27) == {"contrib", "native"}
    assert forms(CAUSAL_CONVOLUTION, "openvino", 27) == {"native"}


def test_onnx_has_its_own_operator_from_opset_27_on() -> None:
    with pytest.raises(InputError, match="ONNX has LinearAttention from opset 27 on, and the opset is 18"):
        check_lowering("standard", "cpu", 18)
    check_lowering("standard", "cpu", 27)


@pytest.mark.parametrize("target", ["openvino", "portable"])
def test_operators_of_onnx_runtime_are_not_for_other_runtimes(target: Target) -> None:
    with pytest.raises(InputError, match=f"operators of ONNX Runtime .com.microsoft., and a file for {target}"):
        check_lowering("contrib", target, 18)
    check_lowering("contrib", "cpu", 18)


@pytest.mark.parametrize("target", ["openvino", "portable"])
def test_lengths_are_never_left_to_a_runtime_that_ignores_them(target: Target) -> None:
    assert forms_for("auto", target, stateful=False)["lengths"] == "scan"
