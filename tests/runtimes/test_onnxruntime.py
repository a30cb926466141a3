"""What is known of ONNX Runtime's kernels stays true, and what it cannot run is said in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rnn_export import BundleError, Signature, UnavailableError, export_onnx
from rnn_export.runtimes import open_session
from torch import nn

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
    export_onnx(model, SIGNATURE.with_outputs(outputs), tmp_path / "out")
    session = open_session("onnxruntime:cpu", tmp_path / "out" / "model.onnx", outputs)
    x = np.zeros((4, 2, 3), np.float32)
    x[1, 0, 0] = np.nan
    output = session.run({"x": x})["output"]
    assert session.hides_nan == kernel
    assert bool(np.isfinite(output[1:, 0]).any()) == bool(kernel)
    assert np.isfinite(output[:, 1]).all()
    assert session.placement() == ("CPUExecutionProvider",)


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
