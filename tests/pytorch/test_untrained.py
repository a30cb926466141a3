"""Which parameters are as a generator drew them: those of a fresh model, not those that were read or set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rnn_export import load
from rnn_export.pytorch.untrained import DrawnTensors
from torch import nn


def fresh() -> nn.Module:
    return nn.GRU(3, 4)


def orthogonal() -> nn.Module:
    module = nn.Linear(3, 4)
    nn.init.orthogonal_(module.weight)
    nn.init.zeros_(module.bias)
    return module


def scaled() -> nn.Module:
    module = nn.Module()
    module.weight = nn.Parameter(0.1 * torch.randn(3, 4))
    return module


def restored() -> nn.Module:
    module = nn.GRU(3, 4)
    module.load_state_dict({name: torch.ones_like(each) for name, each in module.state_dict().items()})
    return module


def assigned() -> nn.Module:
    module = nn.GRU(3, 4)
    module.load_state_dict({name: torch.ones_like(each) for name, each in module.state_dict().items()}, assign=True)
    return module


def half_restored() -> nn.Module:
    module = nn.Linear(3, 4)
    with torch.no_grad():
        module.weight.copy_(torch.ones(4, 3))
    return module


@pytest.mark.parametrize(
    ("build", "drawn"),
    [(fresh, 4), (orthogonal, 1), (scaled, 1), (restored, 0), (assigned, 0), (half_restored, 1)],
)
def test_drawn_parameters(build: Callable[[], nn.Module], drawn: int) -> None:
    with DrawnTensors() as followed:
        module = build()
    assert len(followed.of(module)) == drawn


def test_a_factory_that_reads_its_checkpoint_is_trained(write: Callable[[str], Path], tmp_path: Path) -> None:
    torch.save(nn.GRU(3, 4).state_dict(), tmp_path / "own.pt")
    path = write(
        f"""
def trained():
    module = nn.GRU(3, 4)
    module.load_state_dict(torch.load({str(tmp_path / "own.pt")!r}))
    return module
"""
    )
    given = {"inputs": {"x": "float32[T, N, 3]"}}
    assert not load(f"{path}:trained", **given).source.untrained
    assert load("torch.nn:GRU", input_size=3, hidden_size=4, **given).source.untrained == 4
    weights = tmp_path / "own.pt"
    assert not load("torch.nn:GRU", input_size=3, hidden_size=4, weights=weights, **given).source.untrained
