"""What is longer after every call is found, with a size of its own; a list or two lengths are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from rnn_export.errors import CaptureError
from rnn_export.pytorch.first_run import Trial
from rnn_export.pytorch.memory.find import Memory, find_memory
from rnn_export.pytorch.memory.visited import VisitedStates
from rnn_export.spec.signature import Signature
from rnn_export.spec.streams import State
from torch import Tensor, nn


class Past:
    """An object of no dataclass."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.seen = 0
        self.dtype: torch.dtype | None = None

    def update(self, keys: Tensor) -> Tensor:
        self.seen, self.dtype = self.seen + keys.shape[1], keys.dtype
        self.keys = keys if self.keys is None else torch.cat([self.keys, keys], 1)
        return self.keys


class Caching(nn.Module):
    def __init__(self, step: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.step = step
        self.layers = [Past(), Past()]
        self.log: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.step(self, x)


def both(model: Any, x: Tensor) -> Tensor:
    return sum(layer.update(x).mean(1) * layer.seen for layer in model.layers)


def window(model: Any, x: Tensor) -> Tensor:
    past = model.layers[0]
    whole = past.update(x)
    past.keys = whole[:, -3:]
    return whole.sum(1)


def trial_of(step: Callable[[Any, Tensor], Tensor], spec: str = "float32[N, 1, 4]") -> Trial:
    return Trial(Caching(step).eval(), Signature({"x": spec}, "y"), None, None, 0)


def found(trial: Trial) -> Memory:
    memory = find_memory(trial, dict(zip(trial.signature.symbols, (3, 2), strict=False)))
    assert memory is not None
    return memory


@pytest.mark.parametrize("spec", ["float32[N, 1, 4]", "float32[N, T, 4]"])
def test_tensors_in_objects_in_a_list_grow(spec: str) -> None:
    grown = [
        State(f"layers.{k}.keys.h0", f"layers.{k}.keys.h_n", "float32", ("N", "P", 4), grows="P") for k in range(2)
    ]
    seen = [State(f"layers.{k}.seen.h0", f"layers.{k}.seen.h_n", "int64", ()) for k in range(2)]
    states = found(trial_of(both, spec)).states
    assert sorted(states, key=lambda state: state.name) == sorted([*grown, *seen], key=lambda state: state.name)


def test_it_begins_empty() -> None:
    state = next(state for state in found(trial_of(both)).states if state.grows)
    assert state.initial({"N": 3}).shape == (3, 0, 4)
    assert state.initial({"N": 3, "P": 7}).shape == (3, 0, 4)


@pytest.mark.parametrize("spec", ["float32[N, 1, 4]", "float32[N, T, 4]"])
def test_inputs_of_a_case_are_as_long_as_it_says(spec: str) -> None:
    trial = trial_of(both, spec)
    made = VisitedStates(trial, found(trial).explicit())
    sizes = {"N": 2, "P": 9, **({"T": 3} if "T" in spec else {})}
    inputs = made(sizes, 1)
    assert inputs["layers.0.keys.h0"].shape == (2, 9, 4)
    assert inputs["layers.0.seen.h0"] == 9
    assert made.reachable(sizes) == sizes


def test_a_window_is_never_longer_than_it_is_once_filled() -> None:
    trial = trial_of(window)
    made = VisitedStates(trial, found(trial).explicit())
    assert made.reachable({"N": 2, "P": 9}) == {"N": 2, "P": 3}
    assert made.reachable({"N": 2, "P": 2}) == {"N": 2, "P": 2}


def test_two_lengths_are_refused() -> None:
    def uneven(model: Any, x: Tensor) -> Tensor:
        model.layers[0].update(x)
        return model.layers[1].update(torch.cat([x, x], 1)).mean(1)

    with pytest.raises(CaptureError, match=r"grow by different lengths .* Let all grow by the same"):
        find_memory(trial_of(uneven), {"N": 3})


def test_a_list_that_grows_is_refused_with_a_remedy() -> None:
    def logged(model: Any, x: Tensor) -> Tensor:
        model.log.append(x)
        return torch.cat(model.log, 1).mean(1)

    with pytest.raises(CaptureError, match=r"self\.log\[1\] .* along one dimension of a tensor"):
        find_memory(trial_of(logged), {"N": 3})


def test_a_cache_that_layers_share_with_the_model_is_one() -> None:
    class Sharing(nn.Module):
        def __init__(self, past: Past) -> None:
            super().__init__()
            self.past = past

        def forward(self, x: Tensor) -> Tensor:
            return self.past.update(x).mean(1)

    def shared(model: Any, x: Tensor) -> Tensor:
        return model.inner(x) * model.layers[0].seen

    model = Caching(shared)
    model.inner = Sharing(model.layers[0])
    memory = found(Trial(model.eval(), Signature({"x": "float32[N, 1, 4]"}, "y"), None, None, 0))
    assert sorted(state.name for state in memory.states) == ["layers.0.keys.h0", "layers.0.seen.h0"]
