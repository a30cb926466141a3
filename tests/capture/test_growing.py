"""Models that need more steps than an example has are captured and verified where they run, without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import rnn_export
import torch
import torch.nn.functional as F
from rnn_export import LoadError, Signature, export_onnx
from torch import Tensor, nn

X = "float32[N, T, 6]"
# Kernel, stride and dilation of each layer, and the least number of steps that leave one.
LAYERS = {
    "five of five": ([(5, 1, 1)], 5),
    "three and three": ([(3, 1, 1)] * 2, 5),
    "90 steps": ([(90, 1, 1)], 90),
    "90 steps, every tenth": ([(90, 10, 1)], 90),
    "windows of 400 samples": ([(400, 160, 1)], 400),
    "halved three times": ([(2, 2, 1)] * 3, 8),
    "dilated": ([(3, 1, 1), (3, 1, 2), (3, 1, 8)], 23),
    "wav2vec": ([(10, 5, 1), (3, 2, 1), (3, 2, 1), (2, 2, 1)], 60),
}


class Convolved(nn.Module):
    def __init__(self, layers: list[tuple[int, int, int]], rnn: type[nn.RNNBase] = nn.GRU, *, batched: bool = True):
        super().__init__()
        widths = [6, *[8] * len(layers)]
        sized = zip(widths, layers, strict=False)
        self.layers = nn.ModuleList(nn.Conv1d(width, 8, k, stride, dilation=d) for width, (k, stride, d) in sized)
        self.rnn, self.batched = rnn(8, 5, batch_first=True), batched

    def forward(self, x: Tensor) -> Tensor:
        y = x.mT if self.batched else x[None].mT
        for layer in self.layers:
            y = torch.tanh(layer(y))
        y = self.rnn(y.mT)[0]
        return y if self.batched else y[0]


def check(model: nn.Module, folder: Path, shapes: list[tuple[int, ...]]) -> None:
    session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    for shape in shapes:
        x = torch.randn(shape)
        with torch.no_grad():
            wanted = model.eval()(x)
        np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], wanted, atol=2e-5)


@pytest.mark.parametrize(("layers", "least"), LAYERS.values(), ids=LAYERS)
def test_a_model_is_captured_where_its_convolutions_leave_steps(
    layers: list[tuple[int, int, int]], least: int, tmp_path: Path
) -> None:
    model = Convolved(layers)
    exported = export_onnx(model, Signature({"x": X}), tmp_path / "out")
    assert exported.notes[-1] == f"T is at least {least}: below it the model does not run."
    tried = {result.case.sizes["T"] for result in exported.report.cases if result.verdict == "PASS"}
    assert {least, least + 1, least + 2, least + 16} <= tried
    check(
        model, tmp_path / "out", [(N, T, 6) for T in (least, least + 1, least + 11, 401) if least <= T for N in (1, 3)]
    )
    session = ort.InferenceSession(tmp_path / "out/model.onnx", providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match=f"T is at least {least}"):
        session.run(None, {"x": np.zeros((2, least - 1, 6), np.float32)})
    assert rnn_export.read_bundle(tmp_path / "out").artifacts["model.onnx"].bounds == {"T": {"min": least}}


@pytest.mark.parametrize("rnn", [nn.RNN, nn.LSTM])
def test_an_unbatched_model_is_captured(rnn: type[nn.RNNBase], tmp_path: Path) -> None:
    model = Convolved([(5, 1, 1)], rnn, batched=False)
    export_onnx(model, Signature({"x": "float32[T, 6]"}), tmp_path / "out")
    check(model, tmp_path / "out", [(T, 6) for T in (5, 6, 17, 400)])


class Collapsing(nn.Module):
    """Runs from two steps on, and leaves one of five: where forward runs says nothing of that."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(6, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x[:, x.size(1) // 4 :: 4])[0]


def test_a_size_that_becomes_one_only_in_the_middle_grows(tmp_path: Path) -> None:
    model = Collapsing()
    export_onnx(model, Signature({"x": X}), tmp_path / "out")
    check(model, tmp_path / "out", [(2, T, 6) for T in (1, 2, 3, 4, 5, 8, 9, 100, 400)])


class Padded(nn.Module):
    """Reflected at both ends: no more than there is."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.rnn = nn.Conv1d(6, 8, 7), nn.GRU(8, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.layer(F.pad(x.mT, (3, 3), mode="reflect")).mT)[0]


def test_padding_has_a_least_size(tmp_path: Path) -> None:
    model = Padded()
    exported = export_onnx(model, Signature({"x": X}), tmp_path / "out")
    assert exported.notes[-1] == "T is at least 4: below it the model does not run."
    check(model, tmp_path / "out", [(N, T, 6) for T in (4, 5, 17, 400) for N in (1, 2)])


class Image(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.rnn = nn.Conv2d(3, 6, 14, 4), nn.GRU(6, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x.flatten(0, 1)).amax((2, 3))
        return self.rnn(y.unflatten(0, x.shape[:2]))[0]


def test_two_sizes_grow_and_the_others_stay_small(tmp_path: Path) -> None:
    model = Image()
    exported = export_onnx(model, Signature({"x": "float32[N, T, 3, H, W]"}), tmp_path / "out")
    assert exported.report.traced == {"N": 7, "T": 5, "H": 24, "W": 26}
    check(model, tmp_path / "out", [(N, T, 3, H, W) for N, T in ((1, 1), (2, 9)) for H, W in ((14, 17), (40, 31))])


class TooFew(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.size(0) * x.size(1) < 10:
            raise ValueError("too few")
        return x.cumsum(1)


def test_what_no_least_size_describes_is_bounded_by_none(tmp_path: Path) -> None:
    exported = export_onnx(TooFew(), Signature({"x": X}), tmp_path / "out")
    assert exported.notes == ()
    assert exported.report.count("REFUSED")


class Never(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x @ x.new_zeros(5, 5)


def test_what_runs_at_no_size_says_why_at_the_smallest(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"x \[7, 5, 6\].*mat1 and mat2|x \[7, 5, 6\].*must match"):
        export_onnx(Never(), Signature({"x": X}), tmp_path / "out")


class Counted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * float(x.size(1))


def test_a_size_as_a_plain_number_is_computed(tmp_path: Path) -> None:
    export_onnx(Counted(), Signature({"x": X}), tmp_path / "out")
    check(Counted(), tmp_path / "out", [(1, 1, 6), (2, 3, 6), (1, 400, 6)])
