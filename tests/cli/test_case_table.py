"""The table of cases says how large an error is as every other surface does."""

from __future__ import annotations

from math import inf

import pytest
from rnn_export.cli.case_table import print_case_table
from rnn_export.parity.compare import OutputResult
from rnn_export.parity.report import CaseResult
from rnn_export.pytorch.samples import Case


@pytest.mark.parametrize(
    ("share", "said"), [(0.11, "11%"), (9.9, "990%"), (790.4, "790 times"), (2e12, "over a billion times")]
)
def test_a_share_of_the_limit(share: float, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in printed(share, capsys)


def test_what_is_wrong_without_an_error_has_no_share(capsys: pytest.CaptureFixture[str]) -> None:
    assert "times" not in printed(inf, capsys)


def printed(share: float, capsys: pytest.CaptureFixture[str]) -> str:
    output = OutputResult("y", 1.0, 0.0 if share == inf else 1 / share, (0,), "wrong")
    print_case_table([CaseResult(Case({"T": 3}, "ordinary", 0), [output], "FAIL")], {"T": 3})
    return capsys.readouterr().out
