"""A stream has a number where PyTorch multiplied NaN by 0: it has to be PyTorch's own for ordinary inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from rnn_export import Signature
from rnn_export.parity.compare import judge
from rnn_export.parity.expected import Expected, expect
from rnn_export.parity.unread import with_other, without_unread
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn


class Latest(nn.Module):
    """The step itself, and 0 times all others."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.eye(x.size(0)) @ x


def expected() -> Expected:
    cases = [Case({"T": 4}, "ordinary", 1), Case({"T": 5}, "ordinary", 2), Case({"T": 4}, "nan", 1)]
    return expect(Latest(), Signature({"x": "float32[T, 1]"}, ["output"]), cases)[-1]


def passes(item: Expected, got: np.ndarray, change: Callable[..., Expected] = without_unread) -> bool:
    item = change(item, {"output": got})
    assert item.reference is not None
    reference = item.reference
    return judge(
        "output", got, reference.eager["output"], reference.exact_of("output"), item.tolerances.get("output")
    ).passed


def test_what_is_read_counts() -> None:
    item = expected()
    assert np.isnan(item.reference.eager["output"]).all()
    assert passes(item, item.reference.eager["output"])
    assert passes(item, item.inputs["x"])


@pytest.mark.parametrize("change", [1e-3, np.inf])
def test_another_number_is_wrong(change: float) -> None:
    item = expected()
    got = item.inputs["x"].copy()
    at = int(np.flatnonzero(np.isfinite(got))[0])
    got[at] += np.float32(change)
    assert not passes(item, got)


def test_infinity_and_nan_are_excused_for_each_other_and_nothing_else() -> None:
    item = expected()
    got = item.reference.eager["output"].copy()
    got[0] = np.inf
    assert not passes(item, got)
    assert passes(item, got, with_other)
    ordinary = item.ordinary
    assert ordinary is not None
    got = ordinary.reference.eager["output"].copy()
    got[0] = np.inf
    assert not passes(replace(item, reference=ordinary.reference), got, with_other)
