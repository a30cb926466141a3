"""What is known of ONNX Runtime's kernels stays true, and what it cannot run is said in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rnn_export import BundleError, InputError, Signature, UnavailableError, export_onnx
from rnn_export.runtimes import onnxruntime as runtime
from rnn_export.runtimes.onnxruntime import OnnxRuntimeSession
from rnn_export.runtimes.open import open_session, runs
from rnn_export.runtimes.provider_table import PROVIDERS, Provider, short_name
from rnn_export.runtimes.session import ProviderOptions
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
    with pytest.raises(UnavailableError, match="There is no runtime 'torchscrip'. Did you mean 'torchscript'"):
        open_session("torchscrip", tmp_path, ())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    export_onnx(nn.LSTM(3, 4), Signature({"x": "float32[T, N, 3]"}), tmp_path / "out", verify=False)
    return tmp_path / "out" / "model.onnx"


def test_a_provider_that_is_not_there(file: Path) -> None:
    message = "has no DmlExecutionProvider here. Get it with: rnn-export install onnxruntime:dml"
    with pytest.raises(UnavailableError, match=message):
        open_session("onnxruntime:dml", file, ())


def test_a_provider_that_is_left_out_in_silence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a package with CUDA does where there is no GPU: it lists the provider, and makes a session without it."""
    plain = runtime.ort.InferenceSession
    monkeypatch.setattr(runtime, "built_in", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(runtime.ort, "InferenceSession", lambda path, options, **_: plain(path, options))
    message = "CUDAExecutionProvider did not start, and ONNX Runtime would have run the model on the CPU."
    with pytest.raises(UnavailableError, match=message):
        open_session("onnxruntime:cuda", file, ())


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("/a/b.cc:65 f(const g&)::<lambda(h)> x == y was false. No adapter: none\nmore", "No adapter: none"),
        ("/a/b.cc:729 void f(T&, const U&) Please install it.", "Please install it"),
        ("plain words", "plain words"),
    ],
)
def test_why_a_provider_does_not_start(said: str, reason: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(runtime, "built_in", lambda: ["WebGpuExecutionProvider"])
    monkeypatch.setattr(runtime.ort, "InferenceSession", refuse)
    with pytest.raises(UnavailableError) as caught:
        open_session("onnxruntime:webgpu", file, ())
    assert str(caught.value).startswith(f"WebGpuExecutionProvider does not start ({reason}). It needs a GPU with")


def test_what_no_provider_options_can_ask_for(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="onnxruntime:cpu runs on the CPU, which `strict=True` forbids."):
        open_session("onnxruntime:cpu", file, (), ProviderOptions(strict=True))
    with pytest.raises(InputError, match="torchscript has no execution providers."):
        open_session("torchscript", file, (), ProviderOptions({"use_tf32": "1"}))
    with pytest.raises(UnavailableError, match="There is no file .*no.so. Give the path of a plug-in's library."):
        open_session("onnxruntime:mine", file, (), ProviderOptions(library=tmp_path / "no.so"))
    (tmp_path / "bad.so").write_bytes(b"nonsense")
    with pytest.raises(UnavailableError, match="cannot load .*bad.so .* Get the version of the plug-in"):
        open_session("onnxruntime:mine", file, (), ProviderOptions(library=tmp_path / "bad.so"))


def test_inputs_and_outputs_bound_in_a_devices_memory(file: Path) -> None:
    """Bound in the CPU's, which is the device there is."""
    bound = OnnxRuntimeSession(file, Provider("CPUExecutionProvider", device="cpu"), ProviderOptions())
    plain = open_session("onnxruntime:cpu", file, ())
    for T, N in ((5, 2), (1, 1)):
        inputs = {"x": np.random.default_rng(T).standard_normal((T, N, 3)).astype(np.float32)}
        expected = plain.run(inputs)
        for name, array in bound.run(inputs).items():
            assert np.array_equal(array, expected[name])


def test_every_provider_has_a_name_a_need_and_a_command() -> None:
    for name, provider in PROVIDERS.items():
        assert short_name(provider.full_name) == name
        assert provider.get.startswith(("pip install ", "rnn-export install onnxruntime:"))
        assert bool(provider.needs) == (name != "cpu")
    assert short_name("VitisAIExecutionProvider") == "vitisai"


@pytest.mark.parametrize("name", ["cuda", "CUDA", "CUDAExecutionProvider", "tensorrt", "cpu", "WebGPU"])
def test_a_provider_without_its_runtime_is_named_with_it(name: str, tmp_path: Path) -> None:
    _asks_for(name, short_name(name), tmp_path)


@pytest.mark.parametrize(
    ("name", "provider"),
    [("gpu", "cuda"), ("GPU", "cuda"), ("onnxruntime-gpu", "cuda"), ("trt", "tensorrt"), ("onnxruntime", "cpu")],
)
def test_what_people_call_a_provider_is_known(name: str, provider: str, tmp_path: Path) -> None:
    _asks_for(name, provider, tmp_path)


def _asks_for(name: str, provider: str, tmp_path: Path) -> None:
    wanted = f"'onnxruntime:{provider}'"
    with pytest.raises(UnavailableError, match=f"There is no runtime '{name}'. Did you mean {wanted}"):
        open_session(name, tmp_path / "model.onnx", ("y",))
    with pytest.raises(UnavailableError, match=f"Did you mean {wanted}"):
        runs(name, "model.pt")
