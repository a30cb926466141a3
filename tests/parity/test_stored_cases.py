"""Limits that a bundle stores are held against PyTorch's own errors in those cases, and no more than that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from rnn_export import Signature
from rnn_export.errors import InterfaceError
from rnn_export.parity.cases import make_cases
from rnn_export.parity.expected import Expected, expect
from rnn_export.parity.reference import Oracle
from rnn_export.parity.stored_cases import check_stored
from torch import Tensor, nn

# As an export stores them: most are of one step.
STORED = ("ordinary-N7-T5", "ordinary-N1-T1", "ordinary-N257-T1")
SIGNATURE = Signature({"x": "float32[N, T, 3]"}, ["y"])


class _Coarse(nn.Module):
    """Attention whose scores lose digits; of a single step that shows nothing, for it has all the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.rnn(x)
        scores = (out @ out.transpose(1, 2) + 2000.0) - 2000.0
        mixed: Tensor = torch.softmax(scores, dim=-1) @ out
        return mixed


def _wider(item: Expected, times: float) -> Expected:
    limits = {name: replace(each, limit=each.limit * times) for name, each in item.tolerances.items()}
    return replace(item, tolerances=limits)


@pytest.mark.parametrize("make", [_Coarse, lambda: nn.LSTM(3, 8, batch_first=True)])
def test_limits_of_an_export_are_not_too_wide_and_forged_ones_are(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = make().eval()
    signature = SIGNATURE if make is _Coarse else Signature(SIGNATURE.inputs, ["y", "h_n", "c_n"])
    stored = [item for item in _expected(model, signature) if item.case.name in STORED]
    oracle = Oracle(model, signature)
    check_stored("cases", [(stored, 0.0)], oracle, signature)
    with pytest.raises(InterfaceError, match=r"in case ordinary-N7-T5 the limits of '\w+' are too wide"):
        check_stored("cases", [([_wider(item, 100) for item in stored], 0.0)], oracle, signature)


def _expected(model: nn.Module, signature: Signature) -> list[Expected]:
    return expect(model, signature, make_cases(signature, {"N": 7, "T": 5}, 0))
