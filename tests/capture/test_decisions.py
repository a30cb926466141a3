"""What a capture decides by sizes: where a size became a number, what may be trusted, and what is the model's own."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import CaptureError, Signature, export_onnx
from rnn_export.capture.capture import capture
from rnn_export.capture.decisions import record_decisions
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

X = Signature({"x": "float32[N, T, 3]"})
HERE = __file__


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)


class Loops(Base):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, : t + 1].sum(1) for t in range(x.size(1))])


class Branches(Base):
    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) % 2:
            x = x[:, 1:]
        return self.rnn(x.reshape(x.size(0), x.size(1) // 2, 2, 3)[:, :, 0])[0]


class Forgets(Base):
    def forward(self, x: Tensor) -> Tensor:
        y, h = self.rnn(x)
        if x.sum() > 0:
            h = None
        return y if h is None else y + h[0].unsqueeze(1)


class ForgetsOdd(Base):
    """What one way leaves is None, and decided by the size alone: each way is run on its own."""

    def forward(self, x: Tensor) -> Tensor:
        y, h = self.rnn(x)
        if x.size(1) % 2:
            h = None
        return y if h is None else y + h[0].unsqueeze(1)


class Chunks(Base):
    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, (0, 0, 0, (4 - x.size(1) % 4) % 4))
        return self.rnn(x.view(-1, 4, 3))[0]


class HalvesToFour(Base):
    """At the captured length the half has as many steps as the layer units."""

    def forward(self, x: Tensor) -> Tensor:
        y = x[:, ::2]
        return self.rnn(y)[0].reshape(-1, 4)


class Strided(Base):
    """Its length is computed in another way than the convolution's, and compared."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv1d(3, 3, 3, 2, 1)

    def strided(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.mT).mT
        return y


class Asserts(Strided):
    def forward(self, x: Tensor) -> Tensor:
        y = self.strided(x)
        assert (  # fmt: skip
            y.size(1) == (x.size(1) + 1) // 2
        ), f"not half of {x.shape}"
        return self.rnn(y)[0]


class AssertsInTorch(Strided):
    def forward(self, x: Tensor) -> Tensor:
        y = self.strided(x)
        torch._assert(y.size(1) == (x.size(1) + 1) // 2, "not half")
        torch._check(y.size(1) <= x.size(1))
        return self.rnn(y)[0]


class Raises(Strided):
    def forward(self, x: Tensor) -> Tensor:
        y = self.strided(x)
        if y.size(1) != (x.size(1) + 1) // 2:
            message = f"not half of {x.shape}"
            raise ValueError(message)
        return self.rnn(y)[0]


class RaisesElse(Strided):
    def forward(self, x: Tensor) -> Tensor:
        y = self.strided(x)
        if y.size(1) * 2 >= x.size(1):
            y = self.rnn(y)[0]
        else:
            raise ValueError("not half")
        return y


class RaisesInHelper(Strided):
    def forward(self, x: Tensor) -> Tensor:
        y = self.strided(x)
        demand(y.size(1) == (x.size(1) + 1) // 2, "not half")
        return self.rnn(y)[0]


def demand(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


class ReturnsEarly(Strided):
    """Raises in the end of a way, but not always."""

    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) % 2 == 0:
            if x.size(0) == 1:
                return x
            raise ValueError("even")
        return self.rnn(x)[0]


def line(model: type[nn.Module], offset: int) -> str:
    return f"{HERE}:{model.forward.__code__.co_firstlineno + offset}"


def test_a_decision_that_is_refused_names_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/proc")
    with pytest.raises(CaptureError) as error:
        capture(Forgets().eval(), X, {"x": torch.randn(5, 7, 3)})
    assert f"at {line(Forgets, 2)} cannot be exported: one way leaves None, the other a tensor" in str(error.value)


@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        (Loops, [(1, 1), (5, 2), (1, 7), (2, 101), (1, 400)]),
        (ReturnsEarly, [(1, 1), (1, 2), (5, 7), (1, 100), (2, 101), (1, 400)]),
        (ForgetsOdd, [(1, 1), (1, 2), (5, 7), (1, 100), (2, 101)]),
        (Branches, [(1, 2), (2, 3), (5, 7), (1, 100), (2, 101), (1, 400)]),
    ],
)
def test_each_way_is_taken_at_the_sizes_that_take_it(
    model: type[nn.Module], sizes: list[tuple[int, int]], tmp_path: Path
) -> None:
    cases = [Case({"N": n, "T": t}, "ordinary", 1) for n, t in sizes]
    written(translated(model().eval(), X, cases), "auto", tmp_path / "model.onnx")


@pytest.mark.parametrize("model", [Chunks, HalvesToFour])
def test_computed_sizes_are_trusted_and_right_elsewhere(model: type[nn.Module]) -> None:
    module = model().eval()
    program = capture(module, X, {"x": torch.randn(5, 7, 3)}).program
    for T in (66, 67, 128):
        x = torch.randn(70, T, 3)
        torch.testing.assert_close(program.module(check_guards=False)(x), module(x))


@pytest.mark.parametrize("model", [Asserts, AssertsInTorch, Raises, RaisesElse, RaisesInHelper])
def test_a_check_of_sizes_is_no_branch(model: type[nn.Module], tmp_path: Path) -> None:
    assert export_onnx(model(), X, tmp_path / "out").report.count("PASS") > 10


def test_the_log_is_left_as_it_was() -> None:
    logger = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    before = (logger.level, logger.propagate, list(logger.handlers))
    with record_decisions():
        assert logger.level == logging.INFO
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
