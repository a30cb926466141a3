"""Runtimes that are Python packages: that `verify` judges them like any other, and what they make of NaN.

What is wrong in one of them must fail here for as long as it is wrong. The matrix is in `providers/test_packages.py`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from providers.matrix import I, layer, verified
from rnn_export import Report, Signature, UnavailableError, export_onnx, verify
from rnn_export.errors import BundleError, InputError
from rnn_export.lowering.forms import FORMS
from rnn_export.pytorch.samples import NON_FINITE
from rnn_export.runtimes.nan import HIDES_NAN
from rnn_export.runtimes.open import open_session
from rnn_export.runtimes.programs.packages import PACKAGES, Package
from rnn_export.runtimes.session import ProviderOptions
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

INSTALLED = [
    pytest.param(name, marks=pytest.mark.skipif(not package.version, reason=f"no {name}: make test-packages"))
    for name, package in PACKAGES.items()
]
OPENVINO = INSTALLED[1]
X = Signature({"x": "float32[T, N, 3]"})
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Tanh": torch.tanh,
    "Sigmoid": torch.sigmoid,
    "Relu": torch.relu,
    "Clip": lambda x: x.clamp(-1, 1),
    "HardSigmoid": F.hardsigmoid,
    "Celu": F.celu,
    "Sign": torch.sign,
    "ReduceMax": lambda x: x.amax(0),
    "ReduceMin": lambda x: x.amin(0),
    "ArgMax": lambda x: x.argmax(-1),
    "ArgMin": lambda x: x.argmin(-1),
    "TopK": lambda x: x.topk(2)[0],
    "Max": lambda x: torch.maximum(x, torch.zeros(1)),
    "Min": lambda x: torch.minimum(x, torch.zeros(1)),
    "Exp": torch.exp,
    "Softmax": lambda x: x.softmax(-1),
    "LogSoftmax": lambda x: x.log_softmax(-1),
    "ReduceLogSumExp": lambda x: x.logsumexp(-1),
    "MatMul": lambda x: x @ torch.ones(3, 2),
    "ReduceSum": lambda x: x.sum(-1),
    "ReduceMean": lambda x: x.mean(-1),
    "LayerNormalization": lambda x: F.layer_norm(x, (3,)),
    "LeakyRelu": F.leaky_relu,
    "Elu": F.elu,
    "Selu": F.selu,
    "Softplus": F.softplus,
    "HardSwish": F.hardswish,
    "Mish": F.mish,
    "Erf": torch.erf,
    "PRelu": lambda x: F.prelu(x, torch.tensor([0.2])),
    "Sqrt": torch.sqrt,
    "Where": lambda x: torch.where(x > 0, x, -x),
    "CumSum": lambda x: x.cumsum(0),
}


class Apply(nn.Module):
    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.functions = [{**FUNCTIONS, "MaxPool": lambda x: torch.max_pool1d(x, 2)}[name] for name in names]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(function(x) for function in self.functions)


@pytest.mark.parametrize(
    ("runtime", "names"),
    [
        *(pytest.param(name.values[0], list(FUNCTIONS), marks=name.marks) for name in INSTALLED),
        ("onnx.reference", ["MaxPool"]),
        pytest.param("openvino", ["MaxPool"], marks=OPENVINO.marks),
    ],
)
def test_which_kernels_hide_nan(runtime: str, names: list[str], tmp_path: Path) -> None:
    """If this fails for a kernel that is named, the runtime has mended it: take it off the list."""
    model = Apply(names)
    export_onnx(model, X.with_outputs(names), tmp_path / "out", verify=False)
    session = open_session(runtime, tmp_path / "out" / "model.onnx", ())
    differ = set()
    for place in range(12):
        x = np.random.default_rng(place).standard_normal((4, 1, 3)).astype(np.float32)
        x.reshape(-1)[place] = np.nan
        got = session.run({"x": x})
        for name, tensor in zip(names, model(torch.from_numpy(x)), strict=True):
            marks = [np.isnan(y) if y.dtype.kind == "f" else y for y in (tensor.numpy(), got[name])]
            differ |= set() if np.array_equal(*marks) else {name}
    assert sorted(differ) == sorted(set(names) & set(HIDES_NAN[runtime]))
    assert (session.hides_nan in differ) if differ else not session.hides_nan


@pytest.mark.parametrize("runtime", INSTALLED)
@pytest.mark.parametrize("kind", ["rnn_tanh", "rnn_relu", "gru", "lstm"])
def test_which_recurrent_kernels_hide_nan(kind: str, runtime: str, tmp_path: Path) -> None:
    """With initial states, for tract runs none of these without. It computes tanh in place of ReLU, and NaN as well."""
    model = nn.RNN(3, 4, nonlinearity=kind[4:]) if kind.startswith("rnn") else getattr(nn, kind.upper())(3, 4)
    states = ["hx.0", "hx.1"] if kind == "lstm" else ["hx"]
    signature = Signature({"input": "float32[T, N, 3]", **dict.fromkeys(states, "float32[1, N, 4]")})
    export_onnx(model, signature, tmp_path / "out", lowering="native", verify=False)
    file = tmp_path / "out" / "model.onnx"
    if (runtime, kind) == ("onnx.reference", "rnn_relu"):
        with pytest.raises(UnavailableError, match="does not load model.onnx: Unknown activation function 'Relu'"):
            open_session(runtime, file, ())
        return
    session = open_session(runtime, file, ())
    x = np.zeros((4, 2, 3), np.float32)
    x[1, 0, 0] = np.nan
    first, *_ = session.run({"input": x, **dict.fromkeys(states, np.zeros((1, 2, 4), np.float32))}).values()
    assert bool(session.hides_nan) == bool(np.isfinite(first[1:, 0]).any())
    assert np.isfinite(first[:, 1]).all()


def report(runtime: str, model: nn.Module, signature: Signature, out: Path, **how: str) -> Report:
    export_onnx(model, signature, out, verify=False, **how)  # type: ignore[arg-type]
    (found,) = verify(out, runtime=runtime).reports
    return found


@pytest.mark.parametrize("runtime", INSTALLED)
def test_a_layer_is_right(runtime: str, tmp_path: Path) -> None:
    found = verified(runtime, "portable", ("lstm", 2, False), tmp_path / "out", lambda name, value: None)
    assert found.passed, found.failure
    assert (found.placement.provider, found.placement.version) == ("cpu", PACKAGES[runtime].version)
    assert all(case.verdict == "PASS" for case in found.cases if case.case.values not in NON_FINITE)


def test_a_stream_is_fed_step_by_step_to_one_process(tmp_path: Path) -> None:
    loaded = layer("gru", 1, False)
    export_onnx(
        loaded.model,
        loaded.signature,
        tmp_path / "out",
        target="portable",
        stateful=True,
        source=loaded.source,
        verify=False,
    )
    (found,) = verify(tmp_path / "out", seed=0, runtime="tract").reports
    assert found.passed, found.failure
    assert {case.fed for case in found.cases} >= {"one at a time", "after a reset"}


class Packed(nn.GRU):
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        return pad_packed_sequence(super().forward(pack_padded_sequence(x, lengths, enforce_sorted=False))[0])[0]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    signature = Signature({"x": "float32[T, N, 3]", "lengths": "int64[N] in 1..T"}, outputs=["output"])
    model = Packed(3, 4)
    for lowering in FORMS:
        export_onnx(model, signature, folder / lowering, lowering=lowering, verify=False)
    return folder


@pytest.mark.parametrize("runtime", [INSTALLED[0], OPENVINO])
def test_lengths_that_are_ignored_fail(runtime: str, packed: Path) -> None:
    assert "is off by" in verify(packed / "native", runtime=runtime).reports[0].failure
    assert verify(packed / "scan", runtime=runtime).passed


def test_relu_that_is_computed_as_tanh_fails(tmp_path: Path) -> None:
    signature = Signature({"input": "float32[T, N, 3]", "hx": "float32[1, N, 4]"})
    model = nn.RNN(3, 4, nonlinearity="relu")
    assert "is off by" in report("tract", model, signature, tmp_path / "out", lowering="native").failure


def test_a_runtime_that_refuses_or_aborts_is_an_error(tmp_path: Path) -> None:
    for runtime, said, how in [
        ("onnx.reference", "Scan is not implemented for other output input_direction than 0. Export it", "scan"),
        ("tract", 'its process ended with SIGABRT: .* UndeterminedSymbol."N".*. Export it in a form', "native"),
    ]:
        with pytest.raises(UnavailableError, match=f"{runtime} .* does not load model.onnx: {said}"):
            report(runtime, nn.LSTM(3, 4, bidirectional=True), X, tmp_path / runtime, lowering=how)


def test_a_case_that_the_runtime_does_not_run_fails(tmp_path: Path) -> None:
    """tract loads a Scan in float64, and has no float64 sigmoid when it comes to it."""
    found = report(
        "tract", nn.LSTM(3, 4).double(), Signature({"x": "float64[T, N, 3]"}), tmp_path / "out", target="portable"
    )
    assert not found.passed
    assert "the runtime raised ProgramError" in found.cases[0].note
    assert "Sigmoid does not support F64" in found.cases[0].note


@pytest.mark.parametrize("runtime", PACKAGES)
def test_a_package_that_is_not_there(runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Package, "version", "")
    with pytest.raises(UnavailableError, match=rf"{runtime} is not installed. Get it with: pip install \w+$"):
        open_session(runtime, tmp_path / "model.onnx", ())


def test_what_is_not_a_model_or_has_no_providers(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="is not an ONNX model"):
        open_session("onnx.reference", tmp_path / "bad.onnx", ())
    with pytest.raises(InputError, match="tract has no execution providers."):
        open_session("tract", tmp_path / "bad.onnx", (), ProviderOptions({"threads": "1"}))


@pytest.mark.parametrize("runtime", INSTALLED)
def test_programs_run_by_hand_and_import_no_torch(runtime: str, tmp_path: Path) -> None:
    export_onnx(nn.RNN(I, 4), Signature({"x": f"float32[T, N, {I}]"}), tmp_path / "out", target="portable")
    command = PACKAGES[runtime].command
    files = [tmp_path / "out" / "model.onnx", tmp_path / "out" / "cases.safetensors", tmp_path / "got.safetensors"]
    done = subprocess.run([command[0], "-v", *command[1:], *files], capture_output=True, text=True, check=True)
    assert "import 'safetensors.numpy'" in done.stderr
    assert "import 'torch'" not in done.stderr
    given = {key.replace("outputs", "inputs") for key in _keys(files[1]) if "/outputs/" in key}
    assert {key.replace("outputs", "inputs") for key in _keys(files[2])} == given
    ended = subprocess.run(
        [*command, *files[:1], tmp_path / "none", files[2]], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)


def _keys(file: Path) -> set[str]:
    import safetensors.numpy

    return set(safetensors.numpy.load_file(file))
