"""What is known of ONNX Runtime's kernels stays true, and what it cannot run is said in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rnn_export import BundleError, Signature, UnavailableError, export_onnx
from rnn_export.runtimes import open_session
from torch import Tensor, nn

SIGNATURE = Signature({"x": "float32[T, N, 3]"}, ["output", "h_n"])


@pytest.mark.parametrize(
    ("model", "kernel"),
    [
        (nn.RNN(3, 4), ""),
        (nn.RNN(3, 4, nonlinearity="relu"), "RNN with Relu"),
        (nn.GRU(3, 4), "GRU"),
        (nn.LSTM(3, 4), "LSTM"),
    ],
)
def test_which_kernels_hide_nan(model: nn.Module, kernel: str, tmp_path: Path) -> None:
    """If this fails for a kernel that is named, ONNX Runtime has mended it: take it off the list."""
    outputs = ("output", "h_n", "c_n")[: 3 if isinstance(model, nn.LSTM) else 2]
    export_onnx(model, SIGNATURE.with_outputs(outputs), tmp_path / "out", lowering="native")
    session = open_session("onnxruntime:cpu", tmp_path / "out" / "model.onnx", outputs)
    x = np.zeros((4, 2, 3), np.float32)
    x[1, 0, 0] = np.nan
    output = session.run({"x": x})["output"]
    assert session.hides_nan == kernel
    assert bool(np.isfinite(output[1:, 0]).any()) == bool(kernel)
    assert np.isfinite(output[:, 1]).all()
    assert {ran.provider for ran in session.placement().nodes} == {"CPUExecutionProvider"}


class Apply(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "kernel"),
    [
        (lambda x: x.amax(0), "ReduceMax"),
        (lambda x: x.amin(0), "ReduceMin"),
        (lambda x: x.argmax(-1), "ArgMax"),
        (lambda x: x.argmin(-1), "ArgMin"),
        (lambda x: torch.max_pool1d(x, 2), "MaxPool"),
        (lambda x: x.topk(1)[0], ""),
        (lambda x: torch.relu(torch.tanh(torch.sigmoid(x))).sum(0), ""),
    ],
)
def test_which_other_kernels_pass_over_nan(function: Callable[[Tensor], Tensor], kernel: str, tmp_path: Path) -> None:
    """If this fails for a kernel that is named, ONNX Runtime has mended it: take it off the list."""
    model = Apply(function)
    export_onnx(model, SIGNATURE.with_outputs(["y"]), tmp_path / "out")
    session = open_session("onnxruntime:cpu", tmp_path / "out" / "model.onnx", ("y",))
    assert session.hides_nan == kernel
    same = []
    for place in range(12):
        x = np.random.default_rng(place).standard_normal((4, 1, 3)).astype(np.float32)
        x.reshape(-1)[place] = np.nan
        expected = model(torch.from_numpy(x)).numpy()
        got = session.run({"x": x})["y"]
        same.append(np.array_equal(*(np.isnan(y) if y.dtype.kind == "f" else y for y in (got, expected))))
    assert all(same) == (kernel == "")


def test_what_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="is not an ONNX model"):
        open_session("onnxruntime:cpu", tmp_path / "bad.onnx", ())
    (tmp_path / "bad.pt").write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="is not a TorchScript file"):
        open_session("torchscript", tmp_path / "bad.pt", ())


def test_an_unknown_runtime(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="There is no runtime 'onnxruntime:cup'. Did you mean 'onnxruntime:cpu'"):
        open_session("onnxruntime:cup", tmp_path, ())
