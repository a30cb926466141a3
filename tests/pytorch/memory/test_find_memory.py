"""What a model keeps from call to call is found, with names, sizes and resets; the model stays as it was."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from rnn_export.errors import CaptureError
from rnn_export.pytorch.first_run import Trial
from rnn_export.pytorch.memory.arrangement import SizeOf
from rnn_export.pytorch.memory.find import Memory, find_memory
from rnn_export.pytorch.memory.places import Place
from rnn_export.pytorch.memory.start import at_start
from rnn_export.pytorch.run import run_on
from rnn_export.spec.signature import Signature
from rnn_export.spec.streams import State
from torch import Tensor, nn


class Keeping(nn.Module):
    """Calls a function of itself and x, after what it keeps was set."""

    def __init__(self, step: Callable[[Any, Tensor], Tensor], **kept: Any) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 4)
        self.lstm = nn.LSTMCell(4, 4)
        self.step = step
        for name, value in kept.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.step(self, x)


def memory_of(model: nn.Module, spec: str = "float32[N, 4]", sizes: Mapping[str, int] | None = None) -> Memory | None:
    trial = Trial(at_start(model.eval()), Signature({"x": spec}, "y"), None, None, 0)
    return find_memory(trial, {"N": 3} if sizes is None else sizes)


def states_of(model: nn.Module, spec: str = "float32[N, 4]", sizes: Mapping[str, int] | None = None) -> list[State]:
    memory = memory_of(model, spec, sizes)
    assert memory is not None
    return list(memory.states)


def hidden(model: Any, x: Tensor) -> Tensor:
    model.h = model.cell(x, model.h)
    return model.h


def pair(model: Any, x: Tensor) -> Tensor:
    model.state = model.lstm(x, model.state)
    return model.state[0]


def named(model: Any, x: Tensor) -> Tensor:
    model.kept["a"] = model.cell(x, model.kept.get("a"))
    return model.kept["a"]


def queue(model: Any, x: Tensor) -> Tensor:
    model.recent.append(x)
    return torch.stack(list(model.recent)).sum(0)


def in_place(model: Any, x: Tensor) -> Tensor:
    model.h.mul_(0.5).add_(x)
    return model.h + 1


def counted(model: Any, x: Tensor) -> Tensor:
    before = model.calls
    model.calls += 1
    return x * before + model.calls


def faded(model: Any, x: Tensor) -> Tensor:
    model.gain *= 0.99
    return x * model.gain


@dataclass
class Both:
    h: Tensor | None = None
    c: Tensor | None = None


def in_fields(model: Any, x: Tensor) -> Tensor:
    before = None if model.both.h is None else (model.both.h, model.both.c)
    model.both.h, model.both.c = model.lstm(x, before)
    return model.both.h


N4 = ("N", 4)


@pytest.mark.parametrize(
    ("model", "spec", "states"),
    [
        (lambda: Keeping(hidden, h=None), "float32[N, 4]", [State("h0", "h_n", "float32", N4)]),
        (
            lambda: Keeping(pair, state=None),
            "float32[N, 4]",
            [State(f"state.{i}.h0", f"state.{i}.h_n", "float32", N4) for i in (0, 1)],
        ),
        (lambda: Keeping(named, kept={}), "float32[N, 4]", [State("kept.a.h0", "kept.a.h_n", "float32", N4)]),
        (
            lambda: Keeping(in_fields, both=Both()),
            "float32[N, 4]",
            [State(f"both.{name}.h0", f"both.{name}.h_n", "float32", N4) for name in "hc"],
        ),
        (
            lambda: Keeping(queue, recent=deque([torch.full((1, 4), float(i)) for i in range(2)], maxlen=2)),
            "float32[1, 4]",
            [State(f"recent.{i}.h0", f"recent.{i}.h_n", "float32", (1, 4), float(i)) for i in range(2)],
        ),
        (
            lambda: Keeping(in_place, h=torch.ones(1, 4)),
            "float32[1, 4]",
            [State("h0", "h_n", "float32", (1, 4), 1.0)],
        ),
        (lambda: Keeping(counted, calls=5), "float32[N, 4]", [State("calls0", "calls_n", "int64", (), 5.0)]),
        (lambda: Keeping(faded, gain=2.0), "float32[N, 4]", [State("gain0", "gain_n", "float64", (), 2.0)]),
    ],
)
def test_states(model: Callable[[], nn.Module], spec: str, states: list[State]) -> None:
    assert states_of(model(), spec, {"N": 3} if "N" in spec else {}) == states


def test_a_model_that_keeps_nothing() -> None:
    assert memory_of(Keeping(lambda model, x: model.cell(x))) is None


def test_the_model_of_the_caller_is_not_touched() -> None:
    model = Keeping(in_place, h=torch.ones(1, 4))
    states_of(model, "float32[1, 4]", {})
    assert torch.equal(model.h, torch.ones(1, 4))
    assert type(model) is Keeping


def test_a_model_that_was_called_before_begins_as_its_reset_says() -> None:
    class Resetting(Keeping):
        def reset(self, value: float = 0.5) -> None:
            self.h = torch.full((1, 4), value)

    model = Resetting(in_place, h=torch.ones(1, 4))
    model(torch.randn(1, 4))
    assert states_of(model, "float32[1, 4]", {})[0].reset == 0.5


def test_reset_parameters_is_not_such_a_method() -> None:
    class Drawn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

        def reset_parameters(self) -> None:
            nn.init.normal_(self.weight)

    assert torch.equal(at_start(Drawn()).get_parameter("weight"), torch.ones(4))


def test_a_learned_beginning_is_a_path_of_its_own() -> None:
    def begun(model: Any, x: Tensor) -> Tensor:
        model.h = model.cell(x, model.first.expand(x.shape[0], -1) if model.h is None else model.h)
        return model.h

    model = Keeping(begun, h=None, first=nn.Parameter(torch.randn(4)))
    assert [state.name for state in states_of(model)] == ["h0", "begun0"]


def test_a_number_that_is_the_batch_is_read_from_the_inputs() -> None:
    def remembered(model: Any, x: Tensor) -> Tensor:
        if model.batch != x.shape[0]:
            model.h, model.batch = torch.zeros(x.shape[0], 4), x.shape[0]
        return hidden(model, x)

    memory = memory_of(Keeping(remembered, h=torch.zeros(0), batch=0))
    assert memory is not None
    assert [state.name for state in memory.states] == ["h0"]
    assert memory.arrangement.settled == {Place("", "batch"): SizeOf(0, 0)}


def test_the_model_with_explicit_states_does_what_the_model_does() -> None:
    model = Keeping(pair, state=None)
    memory = memory_of(model)
    assert memory is not None
    explicit, states = memory.explicit(), [torch.zeros(2, 4)] * 2
    for _ in range(3):
        x = torch.randn(2, 4)
        expected = run_on(model, {"x": x})
        got, *states = run_on(explicit, {"x": x, "state.0.h0": states[0], "state.1.h0": states[1]})
        assert torch.equal(got, expected)
    assert memory.start.state is None


def test_what_grows_is_refused_with_its_place() -> None:
    def logged(model: Any, x: Tensor) -> Tensor:
        model.log.append(x)
        return torch.stack(model.log).mean(0)

    with pytest.raises(CaptureError, match=r"self\.log\[1\] has another size .* Keep a fixed number of steps"):
        memory_of(Keeping(logged, log=[]))


def test_what_is_kept_out_of_sight_is_refused() -> None:
    hidden_away = [0]

    def sly(model: Any, x: Tensor) -> Tensor:
        hidden_away[0] += 1
        model.calls += 1
        return x * hidden_away[0]

    with pytest.raises(CaptureError, match="beside its attributes and buffers"):
        memory_of(Keeping(sly, calls=0))


def toggled(model: Any, x: Tensor) -> Tensor:
    model.kept = {*model.kept} ^ {"on"}
    return x * len(model.kept)


def as_array(model: Any, x: Tensor) -> Tensor:
    model.kept = model.kept + x.mean(0).numpy()
    return x + torch.from_numpy(model.kept)


def switched(model: Any, x: Tensor) -> Tensor:
    model.kept = "off" if model.kept == "on" else "on"
    return x if model.kept == "on" else -x


@pytest.mark.parametrize(
    ("step", "kept", "kind"),
    [(toggled, {"on"}, "set"), (as_array, np.zeros(4, np.float32), "ndarray"), (switched, "on", "str")],
)
def test_what_has_no_form_in_a_file_is_refused_with_its_kind(step: Any, kept: Any, kind: str) -> None:
    with pytest.raises(CaptureError, match=rf"self\.kept changes from call to call, and is a {kind}\. Keep tensors or"):
        memory_of(Keeping(step, kept=kept))


def test_a_set_that_the_first_call_fills_is_whether_there_has_been_one() -> None:
    def first(model: Any, x: Tensor) -> Tensor:
        begun = "begun" in model.kept
        model.kept.add("begun")
        return x if begun else 2 * x

    assert [state.name for state in states_of(Keeping(first, kept=set()))] == ["begun0"]


def test_a_table_that_the_first_call_makes_is_no_state() -> None:
    def tabled(model: Any, x: Tensor) -> Tensor:
        if model.table is None:
            model.table = torch.arange(4.0)
        return x + model.table

    assert memory_of(Keeping(tabled, table=None)) is None


@pytest.mark.parametrize("first", [2**70, -(2**60), torch.tensor([0, 2**60])])
def test_a_number_that_metadata_does_not_hold_is_refused(first: Any) -> None:
    def raised(model: Any, x: Tensor) -> Tensor:
        model.calls = model.calls + 1
        return x * torch.as_tensor(model.calls % 7).sum()

    with pytest.raises(CaptureError, match=r"self\.calls begins with a whole number beyond 2\*\*53"):
        memory_of(Keeping(raised, calls=first))


def test_a_number_that_comes_to_be_too_large_is_refused() -> None:
    def shifted(model: Any, x: Tensor) -> Tensor:
        model.calls = model.calls * 2**40 + 1
        return x * (model.calls % 7)

    with pytest.raises(CaptureError, match=r"self\.calls is a whole number that comes to have more than 64 bits"):
        memory_of(Keeping(shifted, calls=1))
