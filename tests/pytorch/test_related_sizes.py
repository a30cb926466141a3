"""Sizes that have to be equal, or follow from another, are found by running the model; what is said was tried."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rnn_export import CaptureError, RnnExportError, Signature, SignatureError, export_onnx
from rnn_export.pytorch.least_sizes import Runs
from rnn_export.pytorch.related_sizes import equal_sizes, following_size, step_of
from rnn_export.spec.size_expression import size_of
from torch import Tensor, nn

SIZES = {"N": 7, "T": 5, "S": 11}


def test_two_sizes_that_have_to_be_equal_are_found() -> None:
    assert equal_sizes(lambda sizes: sizes["T"] == sizes["S"], SIZES) == ("T", "S")
    assert equal_sizes(lambda sizes: sizes["N"] == sizes["S"], SIZES) == ("N", "S")


@pytest.mark.parametrize(
    "runs",
    [
        pytest.param(lambda sizes: sizes["T"] >= sizes["S"], id="larger"),
        pytest.param(lambda sizes: True, id="free"),
        pytest.param(lambda sizes: False, id="none"),
        pytest.param(lambda sizes: sizes["T"] == sizes["S"] + 1, id="one more"),
    ],
)
def test_others_do_not_have_to_be(runs: Runs) -> None:
    assert equal_sizes(runs, SIZES) is None


@pytest.mark.parametrize("text", ["12*T-48", "T-4", "T+3", "2*T", "T//2", "(T+1)//2", "T//4+1", "(T+3)//4-1"])
def test_what_follows_is_found_and_was_tried(text: str) -> None:
    found = following_size(lambda sizes: sizes["S"] == size_of(text, sizes), SIZES)
    if text == "T-4":  # either says the same
        assert found in (("S", "T-4"), ("T", "S+4"))
    elif text == "T+3":
        assert found in (("S", "T+3"), ("T", "S-3"))
    else:
        assert found == ("S", text)


@pytest.mark.parametrize(
    "runs",
    [
        pytest.param(lambda sizes: sizes["S"] == sizes["T"] ** 2, id="square"),
        pytest.param(lambda sizes: sizes["S"] >= sizes["T"], id="free"),
        pytest.param(lambda sizes: sizes["S"] == 3, id="one size"),
        pytest.param(lambda sizes: sizes["S"] == sizes["T"] * sizes["N"], id="product"),
        pytest.param(lambda sizes: sizes["S"] == (2 * sizes["T"] if sizes["T"] < 40 else 9), id="up to a point"),
    ],
)
def test_what_is_no_such_line_is_not_said(runs: Runs) -> None:
    found = following_size(runs, SIZES)
    assert found is None or (found[0] == "S" and "N" in found[1]) or found[0] == "N"


@pytest.mark.parametrize("step", [2, 3, 4, 8, 32])
def test_multiples_are_found(step: int) -> None:
    assert step_of(lambda sizes: sizes["T"] % step == 0, SIZES) == ("T", step)


def test_what_is_no_multiple_has_no_step() -> None:
    assert step_of(lambda sizes: sizes["T"] >= 4, SIZES) is None
    assert step_of(lambda sizes: sizes["T"] % 4 == 0 and sizes["T"] < 40, SIZES) is None


class Added(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(24, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x.reshape(x.size(0), x.size(1) // 4, 24))[0]


class Beside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(12, 5, batch_first=True)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.rnn(torch.cat([x[:, 1::2], y], 2))[0]


X, Y = "float32[N, T, 6]", "float32[N, S, 6]"
REMEDIES = {
    "equal": (
        Added,
        {"x": X, "y": Y},
        "T and S have to be equal: PyTorch runs the model only where they are",
        {"y": X},
    ),
    "half": (Beside, {"x": X, "y": Y}, "Write T//2 in place of S in the inputs", {"y": "float32[N, T//2, 6]"}),
    "multiples": (Grouped, {"x": X}, "Write 4*T in place of T in the inputs", {"x": "float32[N, 4*T, 6]"}),
}


@pytest.mark.parametrize(("kind", "inputs", "said", "remedy"), REMEDIES.values(), ids=REMEDIES)
def test_the_message_has_a_remedy_that_helps(
    kind: type[nn.Module], inputs: dict[str, str], said: str, remedy: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises((SignatureError, CaptureError)) as refused:
        export_onnx(kind(), Signature(inputs), tmp_path / "out")
    assert said in str(refused.value)
    assert export_onnx(kind(), Signature({**inputs, **remedy}), tmp_path / "out").report.passed


def test_sizes_of_an_example_that_are_equal_are_told(tmp_path: Path) -> None:
    example = {"x": torch.randn(3, 9, 6), "y": torch.randn(3, 9, 6)}
    with pytest.raises(RnnExportError, match="T and S have to be equal: the model holds only where they are"):
        export_onnx(Added(), Signature({"x": X, "y": Y}), tmp_path / "out", example=example)
