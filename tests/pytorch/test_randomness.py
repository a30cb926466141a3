"""A model that draws random numbers is refused: seeded or not, by whatever generator, with the line that draws."""

from __future__ import annotations

import linecache
import operator
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import RandomState, default_rng
from rnn_export import LoadError, Signature, export_torchscript
from rnn_export.pytorch.job import prepare
from rnn_export.pytorch.randomness import RandomError
from rnn_export.pytorch.request import ExportRequest, silent
from rnn_export.pytorch.run import suppress_output
from torch import Tensor, nn

X = Signature({"x": "float32[T, N, 3]"})


class Added(nn.Module):
    """A GRU, and something added to its output."""

    def __init__(self, added: Callable[[Tensor], Tensor | float]) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)
        self.added = added

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rnn(x)[0]
        return y + self.added(y)


def scripted(model: nn.Module) -> nn.Module:
    with suppress_output():
        return torch.jit.script(model)


def seeded(y: Tensor) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(y.shape)


def by_a_generator(y: Tensor) -> Tensor:
    return torch.rand(1, generator=torch.Generator().manual_seed(3))


def written(y: Tensor) -> Tensor:
    return torch.empty_like(y).uniform_()


def masked(y: Tensor) -> Tensor:
    return nn.functional.dropout(y, 0.1)


def faded(y: Tensor) -> Tensor:
    return 1e-6 * torch.rand_like(y)


def sampled(y: Tensor) -> Tensor:
    return torch.multinomial(y.softmax(-1)[0], 1)


def hard(y: Tensor) -> Tensor:
    return nn.functional.gumbel_softmax(y)


def of_numpy(y: Tensor) -> float:
    return float(default_rng(0).standard_normal())


def of_numpy_before(y: Tensor) -> float:
    return float(RandomState(0).rand())


def of_python(y: Tensor) -> float:
    return random.Random(0).gauss(0, 1)


LINED = [seeded, by_a_generator, written, masked, faded, sampled, hard, of_numpy, of_numpy_before, of_python]


@pytest.mark.parametrize("added", LINED)
def test_what_draws_is_refused_with_its_line(added: Callable[[Tensor], Tensor | float]) -> None:
    with pytest.raises(RandomError, match="Make it depend on self.training, or take it as an input") as error:
        prepare(ExportRequest(Added(added).eval(), X), seed=0, progress=silent)
    found = re.search(r"'(.+)' at (\S+):(\d+)\.", str(error.value))
    assert found is not None, error.value
    line = linecache.getline(str(Path(found[2]).resolve()), int(found[3]))
    code = added.__code__
    assert code.co_firstlineno < int(found[3]) <= code.co_firstlineno + 2, line


@pytest.mark.parametrize("draw", [random.random, np.random.rand])
@pytest.mark.parametrize("seed", [None, 0])
def test_the_global_generators_are_refused(draw: Callable[[], float], seed: int | None) -> None:
    def added(y: Tensor) -> float:
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed)
        return draw()

    model = Added(added).eval()
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    with pytest.raises(RandomError, match=r"draws random numbers, also in evaluation mode: '(numpy\.)?random'"):
        prepare(ExportRequest(model, X), seed=0, progress=silent)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    assert before == after


@pytest.mark.parametrize(
    ("ratio", "decides"), [(0.0, False), (1.0, False), (-1, False), (1.5, False), (0.5, True), (1e-9, True)]
)
@pytest.mark.parametrize("compare", [operator.lt, operator.gt, operator.ge])
def test_teacher_forcing_draws_only_if_its_ratio_leaves_a_choice(
    ratio: float, decides: bool, compare: Callable[[float, float], bool]
) -> None:
    def added(y: Tensor) -> float:
        return 1.0 if compare(random.random(), ratio) else 2.0

    model = Added(added).eval()
    if not decides:
        prepare(ExportRequest(model, X), seed=0, progress=silent)
        return
    with pytest.raises(RandomError, match=r"'random.random' at tests/pytorch/test_randomness.py:\d+"):
        prepare(ExportRequest(model, X), seed=0, progress=silent)


def test_an_initial_state_that_fades_is_not_tried_at_a_size_where_it_has() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.rnn(x, torch.randn(1, x.size(1), 4))[0]
            return y[-1]

    with pytest.raises(RandomError, match="'randn' at "):
        prepare(ExportRequest(Noisy().eval(), X), seed=0, progress=silent)


def test_a_script_is_refused_for_what_it_draws_at_other_sizes(tmp_path: Path) -> None:
    class Beyond(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            if x.size(0) > 1000:
                x = x + torch.randn_like(x)
            return self.rnn(x)[0]

    for model in (Beyond(), scripted(Beyond())):
        with pytest.raises(LoadError, match="'randn_like' at "):
            export_torchscript(model, X, tmp_path / "out")


def test_what_draws_in_training_alone_is_not_refused() -> None:
    class Ordinary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(3, 4, 2, dropout=0.5)
            self.attention = nn.MultiheadAttention(4, 2, dropout=0.5)
            self.drop = nn.AlphaDropout()

        def forward(self, x: Tensor) -> Tensor:
            y = self.rnn(x)[0]
            y = self.drop(self.attention(y, y, y)[0])
            y = nn.functional.rrelu(nn.functional.dropout(y, 0.0), training=self.training)
            y = nn.functional.scaled_dot_product_attention(y, y, y, dropout_p=0.5 if self.training else 0.0)
            return y + torch.randn_like(y) if self.training else y

    prepare(ExportRequest(Ordinary().eval(), X), seed=0, progress=silent)
    prepare(ExportRequest(scripted(Ordinary()).eval(), X), seed=0, progress=silent)
