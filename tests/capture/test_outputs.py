"""Naming what a model returns."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from rnn_export import CaptureError, Signature, SignatureError
from rnn_export.pytorch.outputs import flatten, name_outputs
from rnn_export.spec.dims import infer_dims, spell
from torch import Tensor, nn

X = Signature({"x": "float32[T, N, 3]"})
ONE = torch.zeros(1)


class Named(NamedTuple):
    scores: Tensor
    state: tuple[Tensor, Tensor]


class Variables(nn.Module):
    def forward(self, x: Tensor) -> Any:
        output, h_n, c_n = x, x, x
        return output, (h_n, c_n)


class Expression(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


class Echo(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return x, x


@pytest.mark.parametrize(
    ("model", "output", "names"),
    [
        (Variables(), (ONE, (ONE, ONE)), ("output", "h_n", "c_n")),
        (Expression(), ONE, ("output",)),
        (Expression(), {"a": ONE, "b": (ONE, ONE)}, ("a", "b_0", "b_1")),
        (Expression(), Named(ONE, (ONE, ONE)), ("scores", "state_0", "state_1")),
        (Expression(), [ONE, ONE], ("output_0", "output_1")),
        (Echo(), (ONE, ONE), ("x_out_0", "x_out_1")),
        (nn.LSTM(3, 4), (ONE, (ONE, ONE)), ("output", "h_n", "c_n")),
        (nn.GRU(3, 4), (ONE, ONE), ("output", "h_n")),
        (Expression(), {"y_0": ONE, "y": [ONE, ONE]}, ("y_0", "y_1", "y_2")),
        (Expression(), {1: ONE, "a b": ONE}, ("output_1", "output_a_b")),
    ],
)
def test_outputs_are_named_after_what_they_are(model: nn.Module, output: Any, names: tuple[str, ...]) -> None:
    assert name_outputs(model, output, X).outputs == names


def test_names_given_are_kept_and_counted() -> None:
    assert name_outputs(Echo(), (ONE, ONE), X.with_outputs(["a", "b"])).outputs == ("a", "b")
    with pytest.raises(SignatureError, match=r"1 output names \(a\) were given for 2 outputs"):
        name_outputs(Echo(), (ONE, ONE), X.with_outputs(["a"]))


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (3, "The model returns an int. Return a tensor"),
        ((ONE, {"a": "text"}), "The model returns a str at [1]['a']."),
    ],
)
def test_what_is_not_a_tensor_is_refused(output: Any, said: str) -> None:
    with pytest.raises(CaptureError) as error:
        flatten(output)
    assert said in str(error.value)


def test_a_model_that_returns_nothing() -> None:
    with pytest.raises(CaptureError, match="returns no tensor"):
        name_outputs(Expression(), (), X)


def test_dimensions_are_named_from_two_runs() -> None:
    sizes = [{"T": 7, "N": 5}, {"T": 2, "N": 3}]
    dims = infer_dims(sizes, [(35, 7, 3, 9), (6, 2, 3, 4)])
    assert dims == ("T*N", "T", 3, None)
    assert spell("float32", dims) == "float32[T*N, T, 3, ?]"
