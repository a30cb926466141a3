"""Gated recurrences as scans: cumulative sums and products, sums in log space, associative scans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matrix_memory import agree, exported
from torch import Tensor, nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch.nn import functional as F

Form = Callable[[Tensor, Tensor], Tensor]


class Gated(nn.Module):
    """h = a * h + (1 - a) * b along dimension 1, from x [N, T, 4]; b is positive."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gate, self.value = nn.Linear(4, 6), nn.Linear(4, 6)
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        return self.form(self.gate(x), self.value(x))


def positive(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


def log_positive(x: Tensor) -> Tensor:
    return torch.where(x >= 0, (F.relu(x) + 0.5).log(), -F.softplus(-x))


def given(gate: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    a = torch.sigmoid(-gate)
    return a, (1 - a) * positive(value)


def step_by_step(gate: Tensor, value: Tensor) -> Tensor:
    a, b = given(gate, value)
    h, outs = torch.zeros_like(b[:, 0]), []
    for t in range(a.size(1)):
        h = a[:, t] * h + b[:, t]
        outs.append(h)
    return torch.stack(outs, 1)


def in_log_space(gate: Tensor, value: Tensor) -> Tensor:
    """Heinsen's scan, as minGRU has it."""
    kept = F.pad((-F.softplus(gate)).cumsum(1), (0, 0, 1, 0))
    logs = F.pad(-F.softplus(-gate) + log_positive(value), (0, 0, 1, 0), value=-torch.inf)
    return (kept + (logs - kept).logcumsumexp(1)).exp()[:, 1:]


def two_gates_in_log_space(gate: Tensor, value: Tensor) -> Tensor:
    """minLSTM's, of a forget and an input gate that add up to 1."""
    difference = F.softplus(gate / 2) - F.softplus(-gate / 2)
    kept = F.pad((-F.softplus(difference)).cumsum(1), (0, 0, 1, 0))
    taken = -F.softplus(-difference) + log_positive(value)
    begin = torch.full((gate.size(0), 1, gate.size(2)), -torch.inf)
    return torch.exp(kept + torch.logcumsumexp(torch.cat([begin, taken], 1) - kept, 1))[:, 1:]


def divided_by_a_product(gate: Tensor, value: Tensor) -> Tensor:
    a, b = given(gate / 100 - 5, value)
    kept = a.cumprod(1)
    return (b / kept).cumsum(1) * kept


def combined(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return left[0] * right[0], right[0] * left[1] + right[1]


def associative(gate: Tensor, value: Tensor) -> Tensor:
    return associative_scan(combined, given(gate, value), dim=1, combine_mode="generic")[1]


def backwards(gate: Tensor, value: Tensor) -> Tensor:
    a, b = given(gate, value)
    found = associative_scan(combined, (a.flip(1), b.flip(1)), dim=1, reverse=True, combine_mode="generic")[1]
    return found.flip(1)


SAME = [in_log_space, associative, backwards]


@pytest.mark.parametrize("form", SAME)
def test_all_forms_compute_the_same(form: Form) -> None:
    agree(Gated(step_by_step), Gated(form))


@pytest.mark.parametrize(
    "form",
    [step_by_step, in_log_space, two_gates_in_log_space, divided_by_a_product, associative, backwards],
)
def test_every_form_is_right_at_every_length(form: Form, tmp_path: Path) -> None:
    assert len(exported(Gated(form), tmp_path).graph.node) < 90
