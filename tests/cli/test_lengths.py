"""Lengths through the entry point: a model exported, verified and inspected, and what is said where they do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Cli = Callable[..., Result]

SOURCE = """
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

class Tagger(nn.Module):
    enforce_sorted = False
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4)
    def forward(self, x, lengths, h0=None):
        packed = pack_padded_sequence(x, lengths, enforce_sorted=self.enforce_sorted)
        output, h_n = self.rnn(packed, h0)
        return pad_packed_sequence(output)[0], h_n

class Sorted(Tagger):
    enforce_sorted = True

class Elsewhere(Tagger):
    def forward(self, x, lengths):
        return super().forward(x, lengths.unsqueeze(1) if self.enforce_sorted else lengths.to("meta"))

class TwoDimensional(Elsewhere):
    enforce_sorted = True

class Projected(Tagger):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 4, proj_size=2)
    def forward(self, x, lengths, h0):
        return self.rnn(pack_padded_sequence(x, lengths, enforce_sorted=False), (h0, h0))[0].data
"""

X = ("--input", "x: float32[T, N, 3]", "--input")


def export(factory: str, *lengths: str) -> tuple[str, ...]:
    return ("onnx", "--model", f"user_model.py:{factory}", *X, *lengths)


@pytest.mark.parametrize("factory", ["Tagger", "Sorted"])
def test_exported_verified_and_inspected(cli: Cli, write: Callable[[str], Path], factory: str) -> None:
    write(SOURCE)
    order = " descending" if factory == "Sorted" else ""
    result = cli(*export(factory, f"lengths: int64[N] in 1..T{order}"), "--out", "out", "--cases")
    assert result.exit_code == 0, result.output
    # The NaN lies in a step of its sequence, and ONNX Runtime's GRU hides it.
    assert "model.onnx matches PyTorch: 23 cases (1 excused), " in result.stdout
    for values in ("longest", "shorter", "shortest"):
        assert f"{values}  " in result.stdout
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert manifest["inputs"]["lengths"] == {
        "dtype": "int64", "shape": ["N"], "range": [1, "T"], "descending": bool(order)
    }  # fmt: skip
    assert manifest["outputs"] == {"output": "float32[max(lengths), N, 4]", "h_n": "float32[1, N, 4]"}
    verified = cli("verify", "out", "--model", f"user_model.py:{factory}", "--json")
    assert verified.exit_code == 0, verified.output
    assert len(json.loads(verified.stdout)["reports"][0]["cases"]) == 23
    assert cli("verify", "out").exit_code == 0
    assert "float32[max(lengths), N, 4]" in cli("inspect", "out").stdout


FORWARD = "user_model.py:13"
BAD = [
    (
        export("Sorted", "lengths: int64[N] in 1..T"),
        f"raised RuntimeError at {FORWARD}",
        "must be sorted in decreasing order",
        "Describe the lengths as 'int64[N] in 1..T descending', or let pack_padded_sequence sort them with "
        "enforce_sorted=False.",
    ),
    (
        export("Tagger", "lengths: float32[N]"),
        f"raised RuntimeError at {FORWARD}",
        "greater than 0",
        "Describe the lengths as whole numbers of at least 1, such as 'int64[N] in 1..T'.",
    ),
    (
        export("TwoDimensional", "lengths: int64[N] in 1..T descending"),
        f"raised RuntimeError at {FORWARD}",
        "1D CPU int64 tensor, but got 2D",
        "Give pack_padded_sequence lengths.cpu(), of dimensions [N].",
    ),
    (
        export("Elsewhere", "lengths: int64[N] in 1..T"),
        f"raised NotImplementedError at {FORWARD}",
        "meta tensor",
        "Describe its inputs as they are: order, dtypes, dimensions, and for integers their range.",
    ),
    (
        export("Tagger", "lengths: int64[N] in 1..T", "--input", "h0: float32[1, N, 5]"),
        "raised RuntimeError at user_model.py:14",
        "Expected hidden size (1, 11, 4), got [1, 11, 5]",
        "Describe each state as the layer takes it: layers times directions, N, hidden size.",
    ),
    (
        export("Projected", "lengths: int64[N] in 1..T", "--input", "h0: float32[1, N, 4]"),
        "raised RuntimeError at user_model.py:32",
        "incorrect number of RNN parameters",
        "Describe each state as the layer takes it: layers times directions, N, hidden size.",
    ),
    (export("Tagger", "lengths: int64[N] in 1..S"), "Input 'lengths' goes up to S", "", "Dynamic dimensions are T, N."),
]


@pytest.mark.parametrize(("arguments", "where", "what", "remedy"), BAD)
def test_lengths_and_states_that_do_not_fit(
    cli: Cli, write: Callable[[str], Path], arguments: tuple[str, ...], where: str, what: str, remedy: str
) -> None:
    write(SOURCE)
    result = cli(*arguments)
    assert result.exit_code == 2, result.output
    assert where in result.stderr
    assert what in result.stderr
    assert result.stderr.rstrip().endswith(remedy)
    assert not Path("artifacts").exists() or not any(Path("artifacts").iterdir())
