"""Containers and objects are looked into, what is a framework's is not, and what forward writes there is undone."""

from __future__ import annotations

import enum
from typing import Any

import pytest
import torch
from rnn_export.pytorch.contents import items, reachable
from rnn_export.pytorch.memory.places import leaves, rebuilt
from rnn_export.pytorch.run import preserve_module_state
from torch import Tensor, nn


class Holder:
    def __init__(self, **kept: Any) -> None:
        vars(self).update(kept)


class Colour(enum.Enum):
    RED = 1


def test_an_object_holds_its_attributes() -> None:
    assert items(Holder(a=1, b=None)) == {"a": 1, "b": None}


@pytest.mark.parametrize("value", [nn.Linear(1, 1), torch.zeros(1), torch.float32, Holder, print, Colour.RED, "text"])
def test_what_is_not_looked_into(value: object) -> None:
    assert items(value) == {}


def test_what_holds_itself_ends() -> None:
    inner = Holder(number=1)
    inner.owner = Holder(inner=inner)
    assert [keys for keys, _ in leaves(inner, set())] == [("number",)]
    assert len([*reachable(inner, {})]) == 3


def test_objects_are_made_anew() -> None:
    whole = Holder(layers=[Holder(h=1), Holder(h=2)])
    made = rebuilt(whole, lambda keys, leaf: leaf * 10, {})
    assert [layer.h for layer in made.layers] == [10, 20]
    assert [layer.h for layer in whole.layers] == [1, 2]


def test_what_forward_writes_deep_inside_is_undone() -> None:
    class Writing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cache = Holder(layers=[Holder(h={"a": torch.zeros(2)}, seen=0)])

        def forward(self, x: Tensor) -> Tensor:
            layer = self.cache.layers[0]
            layer.h["a"] += x
            layer.h["b"] = x
            layer.seen += 1
            layer.late = x
            self.cache.layers.append(Holder())
            return x

    model = Writing()
    with preserve_module_state(model):
        model(torch.ones(2))
    (layer,) = model.cache.layers
    assert torch.equal(layer.h["a"], torch.zeros(2))
    assert [*layer.h] == ["a"]
    assert layer.seen == 0
    assert not hasattr(layer, "late")
