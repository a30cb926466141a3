"""The export as a whole: same graphs alone and in company, right elsewhere, and old bundles kept or dropped."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import rnn_export
import safetensors.numpy
import torch
from combinations import each_value
from conftest import SMALL
from rnn_export import CaptureError, LoadError, ParityError, Signature, export_onnx, export_torchscript, load, verify
from torch import Tensor, nn

X = Signature({"x": "float32[T, N, 3]"})


def exported_bytes(name: str, out: Path) -> bytes:
    loaded = load(name, **SMALL[name])
    export_onnx(loaded.model, loaded.signature, out, verify=False)
    return (out / "model.onnx").read_bytes()


def operators(bundle: Path) -> list[str]:
    return [node.op_type for node in onnx.load(bundle / "model.onnx").graph.node]


def test_many_exports_in_one_process_are_what_each_is_alone(tmp_path: Path) -> None:
    names = ["scratch", "hetero", "layernorm_lstm", "initial_state", "scratch", "hetero"]
    together = {name: exported_bytes(name, tmp_path / name) for name in names}
    for name in ("scratch", "hetero"):
        settings = [f"--set={key}={value}" for key, value in SMALL[name].items()]
        command = [sys.executable, "-m", "rnn_export", "onnx", "--model", name, "--no-verify", "--out", f"alone/{name}"]
        subprocess.run([*command, *settings, "--quiet"], cwd=tmp_path, check=True)
        assert (tmp_path / "alone" / name / "model.onnx").read_bytes() == together[name], name


ELSEWHERE = """
import json, sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
inputs = np.load(sys.argv[2])
outputs = session.run(None, dict(inputs))
np.savez(sys.argv[3], *outputs)
assert "torch" not in sys.modules and "rnn_export" not in sys.modules
"""


@each_value(cell=["rnn_tanh", "rnn_relu", "gru", "lstm"], name=["hetero", "tagger", "initial_state"])
def test_right_at_t_1000_and_n_17_with_onnxruntime_alone(name: str, cell: str, tmp_path: Path) -> None:
    loaded = load(name, **SMALL[name], cell=cell)
    export_onnx(loaded.model, loaded.signature, tmp_path / "out")
    sizes = {"T": 1000, "N": 17}
    inputs = {key: torch.randn(spec.sized(sizes)) for key, spec in loaded.signature.inputs.items()}
    np.savez(tmp_path / "in.npz", **{key: tensor.numpy() for key, tensor in inputs.items()})
    paths = [str(tmp_path / path) for path in ("out/model.onnx", "in.npz", "out.npz")]
    subprocess.run([sys.executable, "-c", ELSEWHERE, *paths], check=True)
    with torch.no_grad():
        expected = loaded.model.eval()(*inputs.values())
    first = expected if isinstance(expected, Tensor) else expected[0]
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["arr_0"], first.numpy(), atol=2e-6)


def test_the_file_describes_itself(tmp_path: Path) -> None:
    loaded = load("initial_state", **SMALL["initial_state"], cell="lstm")
    export_onnx(loaded.model, loaded.signature, tmp_path / "out")
    model = onnx.load(tmp_path / "out" / "model.onnx")
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert model.producer_name == "rnn-export"
    state = {"dtype": "float32", "shape": [2, "N", 4], "reset": 0}
    assert json.loads(properties["rnn_export.states"]) == {
        "h0": {"output": "h_n", **state},
        "c0": {"output": "c_n", **state},
    }
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {
        "x": ["T", "N", 3],
        "h0": [2, "N", 4],
        "c0": [2, "N", 4],
        "logits": ["T*N", 3],
        "h_n": [2, "N", 4],
        "c_n": [2, "N", 4],
    }


def test_no_trace_of_the_machine_is_left_in_the_file(tmp_path: Path) -> None:
    text = exported_bytes("hetero", tmp_path / "out")
    assert b".py" not in text
    assert b"getitem" not in text


def test_hetero_is_a_small_graph(tmp_path: Path) -> None:
    loaded = load("hetero")
    export_onnx(loaded.model, loaded.signature, tmp_path / "out", verify=False, lowering="native")
    graph = onnx.load(tmp_path / "out" / "model.onnx").graph
    assert [node.op_type for node in graph.node] == ["RNN", "Squeeze"] * 4 + ["Gather", "Gemm"]
    assert {tensor.name for tensor in graph.initializer} >= {"rnn.0.weight_ih_l0", "rnn.3.bias_l0", "fc.weight"}


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4, 2, dropout=0.5)
            self.drop = nn.Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.drop(self.rnn(x)[0])

    model = Dropping()
    model.rnn.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exported = export_onnx(model, X, tmp_path / "out")
    assert exported.notes == (
        "The model is in training mode, where Dropout computes something else. It is exported in evaluation mode, as "
        "model.eval() leaves it.",
    )
    assert model.training
    assert model.drop.training
    assert not model.rnn.training


def test_a_model_that_answers_at_random_is_found_out(tmp_path: Path) -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(x)

    with pytest.raises(LoadError, match="draws random numbers.*'bernoulli_' at "):
        export_onnx(Noisy(), X, tmp_path / "out")


def test_a_loop_over_cells_that_are_no_submodules_is_rolled(tmp_path: Path) -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = [nn.GRUCell(3, 3)]

        def forward(self, x: Tensor) -> Tensor:
            h = x[0]
            for step in x:
                h = self.cells[0](step, h) * torch.tensor(0.5)
            return h

    assert export_onnx(Loop(), X, tmp_path / "out").report.passed
    assert operators(tmp_path / "out").count("Scan") == 1


def test_a_parity_failure_says_what_and_writes_nothing(tmp_path: Path) -> None:
    class Forked(nn.Module):
        """Adds 1 at T = 1 only, which a capture at another length does not see."""

        def forward(self, x: Tensor) -> Tensor:
            return x + 1 if x.size(0) == 1 else x * 2

    with pytest.raises(ParityError) as error:
        export_onnx(Forked(), X, tmp_path / "out")
    assert "output 'output' is off by" in str(error.value)
    assert "in case ordinary-T1-N1" in str(error.value)
    assert "The first difference is at time step 0." in str(error.value)
    assert error.value.exit_code == 1
    assert not (tmp_path / "out").exists()


def test_integers_without_a_range_are_noted(tmp_path: Path) -> None:
    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(9, 3)
            self.rnn = nn.GRU(3, 4)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.rnn(self.embedding(tokens))[0]

    exported = export_onnx(Embedded(), Signature({"tokens": "int64[T, N]"}), tmp_path / "out")
    assert "'tokens' has no value range" in exported.notes[0]
    assert export_onnx(Embedded(), Signature({"tokens": "int32[T, N] in 0..8"}), tmp_path / "out").notes == ()


@pytest.mark.parametrize(("T", "N"), [(7, 1), (1, 1), (1, 5)])
def test_an_example_may_be_of_one_step_or_one_sequence(tmp_path: Path, T: int, N: int) -> None:
    model, x = nn.GRU(3, 4, num_layers=2), torch.randn(T, N, 3)
    report = export_onnx(model, X, tmp_path / "out", example=[x]).report
    assert report is not None
    assert report.passed
    assert {"T": T, "N": N} in [case.case.sizes for case in report.cases]


def test_an_example_is_used_where_random_values_will_not_do(tmp_path: Path) -> None:
    class Picky(nn.Module):
        def forward(self, x: Tensor, weights: Tensor) -> Tensor:
            if not torch.compiler.is_compiling() and not bool((weights > 0).all()):
                raise ValueError("weights must be positive")
            return x / weights

    signature = Signature({"x": "float32[T, N]", "weights": "float32[T, N]"})
    example = [torch.randn(4, 3), torch.rand(4, 3) + 1]
    with pytest.raises(LoadError, match="forward raised ValueError"):
        export_onnx(Picky(), signature, tmp_path / "out")
    report = export_onnx(Picky(), signature, tmp_path / "out", example=example).report
    assert report.traced == {"T": 4, "N": 3}
    assert report.count("REFUSED") == 1  # zeros
    named = {"weights": example[1].numpy(), "x": example[0].numpy()}
    assert export_onnx(Picky(), signature, tmp_path / "out", example=named).report.passed


def test_both_formats_share_a_bundle_and_another_model_does_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = load("single", **SMALL["single"])
    export_onnx(first.model, first.signature, out, source=first.source)
    both = export_torchscript(first.model, first.signature, out, source=first.source)
    assert {"model.onnx", "model.pt"} <= set(both.files)
    assert both.notes == ()
    other = load("single", **SMALL["single"], seed=1)
    alone = export_onnx(other.model, other.signature, out, source=other.source)
    assert "model.pt" not in alone.files
    assert alone.notes == (f"model.pt was of another model and is no longer in {out}.",)


class Shapes(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"sum": x.sum(0), "parts": (x[-1], [x.argmax(-1)]), "same": x}


def test_dictionaries_integers_and_an_input_that_is_an_output(tmp_path: Path) -> None:
    exported = export_onnx(Shapes(), X, tmp_path / "out")
    assert exported.report.passed
    assert rnn_export.read_bundle(tmp_path / "out").outputs == {
        "sum": "float32[N, 3]",
        "parts_0": "float32[N, 3]",
        "parts_1": "int64[T, N]",
        "same": "float32[T, N, 3]",
    }
    assert export_torchscript(Shapes(), X, tmp_path / "out").report.passed


def test_a_model_given_as_an_object_is_replayed(tmp_path: Path) -> None:
    export_onnx(nn.GRU(3, 4), X, tmp_path / "out")
    verification = verify(tmp_path / "out")
    assert (verification.how, verification.passed) == ("replayed", True)
    assert "given as an object" in verification.why


def test_large_weights_lie_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnn_export.onnx_file.INLINE_LIMIT", 1000)
    loaded = load("deep", input_size=30, hidden_size=80)
    exported = export_onnx(loaded.model, loaded.signature, tmp_path / "out", source=loaded.source)
    assert exported.files["model.onnx.data"] > 10 * exported.files["model.onnx"]
    both = export_torchscript(loaded.model, loaded.signature, tmp_path / "out", source=loaded.source)
    assert "model.onnx.data" in both.files
    assert verify(tmp_path / "out").passed


class Convolved(nn.Module):
    """A convolution needs a least length, which is no loop."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3)
        self.rnn = nn.GRU(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.conv(x).transpose(1, 2))[0]


class Positions(nn.Module):
    """A table of positions bounds the length."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(300, 1, 3))
        self.rnn = nn.GRU(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x + self.table[: x.size(0)])[0]


class Masked(nn.Module):
    def forward(self, x: Tensor, mask: Tensor, scale: Tensor) -> Tensor:
        return x.masked_fill(mask, 0.0) * scale


class Checked(nn.Module):
    """Refuses what is not a probability, as moved values may not be."""

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and bool((x > 1).any() | (x < 0).any()):
            raise ValueError("not a probability")
        return 1 - x


def test_a_bounded_size_is_captured_without_a_loop(tmp_path: Path) -> None:
    convolved = export_onnx(Convolved(), Signature({"x": "float32[N, 3, T]"}), tmp_path / "conv")
    assert convolved.notes == ("T is at least 3: below it the model does not run.",)
    assert convolved.report.count("REFUSED") == 1  # T of 2, which the convolution cannot take
    positions = export_onnx(Positions(), X, tmp_path / "positions")
    assert positions.notes == (
        "T is taken to be at most 300: beyond it the model cannot run, and the file raises an error.",
    )
    assert positions.report.count("PASS") == 20
    beyond = [result for result in positions.report.cases if result.case.sizes["T"] > 300]
    assert [(dict(result.case.sizes), result.verdict) for result in beyond] == [
        ({"T": T, "N": 2}, "REFUSED") for T in (301, 302, 600)
    ]
    assert rnn_export.read_bundle(tmp_path / "positions").artifacts["model.onnx"].bounds == {"T": {"max": 300}}


class Longer(nn.Module):
    """Takes another path where there are many sequences, which no ordinary case has."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.size(1) >= 400 else x


def test_a_path_beyond_every_case_is_in_the_file(tmp_path: Path) -> None:
    assert export_onnx(Longer(), X, tmp_path / "out").report.passed
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    for batch in (1, 399, 400, 401):
        x = np.ones((2, batch, 3), np.float32)
        (y,) = session.run(None, {"x": x})
        assert (y == (2 if batch >= 400 else 1)).all()


def test_the_path_beyond_a_bound_is_tried(tmp_path: Path, one_path_captured: None) -> None:
    with pytest.raises(ParityError, match="in case ordinary-T2-N400"):
        export_onnx(Longer(), X, tmp_path / "out")


class Counter(nn.Module):
    """Writes to a buffer in forward, and replaces another."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("last", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.last = self.count.clone()
        return self.rnn(x)[0]


def test_buffers_are_left_as_they_were(tmp_path: Path) -> None:
    model = Counter()
    kept = model.last
    export_torchscript(model, X, tmp_path / "out")
    assert (model.count.item(), model.last.item()) == (0, 0)
    assert model.last is kept


@pytest.mark.parametrize("seed", range(4))
def test_integers_that_rounding_or_nan_decides(seed: int, tmp_path: Path) -> None:
    class Decided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 16, bidirectional=True)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.rnn(x)[0]
            return y.argmax(-1), y > 0

    torch.manual_seed(seed)
    assert export_onnx(Decided(), X, tmp_path / "out").report.passed
    assert list(rnn_export.read_bundle(tmp_path / "out").outputs.values()) == ["int64[T, N]", "bool[T, N, 32]"]


def test_masks_and_scalars(tmp_path: Path) -> None:
    signature = Signature({"x": "float32[T, N]", "mask": "bool[T, N]", "scale": "float32[]"})
    assert export_onnx(Masked(), signature, tmp_path / "out").report.passed
    assert export_torchscript(Masked(), signature, tmp_path / "out").report.passed
    inputs = onnx.load(tmp_path / "out" / "model.onnx").graph.input
    kinds = [value.type.tensor_type.elem_type for value in inputs]
    assert kinds == [onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL, onnx.TensorProto.FLOAT]
    assert [len(value.type.tensor_type.shape.dim) for value in inputs] == [2, 2, 0]


def test_a_model_that_checks_its_values(tmp_path: Path) -> None:
    report = export_onnx(Checked(), X, tmp_path / "out", example=[torch.ones(7, 3, 3)]).report
    assert report.passed
    assert {result.case.values for result in report.cases if result.verdict == "PASS"} >= {"ordinary", "zero"}
    assert {result.case.values for result in report.cases if result.verdict == "REFUSED"} == {"saturating", "infinite"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile's own
def test_wrapped_models_are_unwrapped(tmp_path: Path) -> None:
    model = nn.GRU(3, 4)
    for wrapped in (torch.compile(model), nn.DataParallel(model)):
        assert export_onnx(wrapped, X, tmp_path / "out").report.passed
        weights = {tensor.name for tensor in onnx.load(tmp_path / "out" / "model.onnx").graph.initializer}
        assert {"weight_ih_l0", "weight_hh_l0", "rnn.bias_l0"} <= weights


class Bessel(nn.Module):
    """A loop over an operation that has no ONNX form."""

    def forward(self, x: Tensor) -> Tensor:
        h = x[0]
        for step in x:
            h = torch.special.bessel_j0(h + step)
        return h


def test_a_failing_loop_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CaptureError, match="no ONNX form at .*test_export.py.*bessel_j0"):
        export_onnx(Bessel(), X, tmp_path / "out")
    assert capfd.readouterr().out == ""


def test_weights_that_are_not_numbers_are_said_to_be_so(tmp_path: Path) -> None:
    loaded = load("single", **SMALL["single"])
    with torch.no_grad():
        next(loaded.model.parameters())[0, 0] = float("nan")
    exported = export_onnx(loaded.model, loaded.signature, tmp_path / "b", verify=False)
    assert any(note.startswith("rnn.weight_ih_l0 of the model holds NaN or infinity.") for note in exported.notes)


def test_weights_that_float16_cannot_hold_are_no_fault_of_the_training(tmp_path: Path) -> None:
    loaded = load("single", **SMALL["single"])
    with torch.no_grad():
        next(loaded.model.parameters())[0, 0] = 1e6
    exported = export_onnx(loaded.model, loaded.signature, tmp_path / "b", precision="float16", verify=False)
    assert "rnn.weight_ih_l0 holds numbers that are too large for float16." in exported.notes
    assert not any("training" in note for note in exported.notes)


class Total(nn.Module):
    """A number goes in and out: x [T, N, 3] and scale [] to []."""

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        return (x * scale).sum()


def test_a_number_keeps_its_shape_in_the_bundle(tmp_path: Path) -> None:
    signature = Signature({"x": "float32[T, N, 3]", "scale": "float32[]"}, outputs=["total"])
    export_onnx(Total(), signature, tmp_path / "b")
    stored = safetensors.numpy.load_file(tmp_path / "b" / "cases.safetensors")
    shapes = {array.shape for key, array in stored.items() if key.endswith(("/scale", "/total"))}
    assert shapes == {()}


class Largest(nn.Module):
    """Its state is a number: x [T, N, 3] and largest [] to y [T, N, 3] and []."""

    def forward(self, x: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
        return x, torch.maximum(largest, x.max())


def test_a_state_that_is_a_number_is_carried(tmp_path: Path) -> None:
    signature = Signature(
        {"x": "float32[T, N, 3]", "largest": "float32[]"}, outputs=["y", "largest_n"], states={"largest": "largest_n"}
    )
    exported = export_onnx(Largest(), signature, tmp_path / "b", stateful=True)
    assert exported.report is not None
    assert exported.report.passed
    (state,) = rnn_export.read_bundle(tmp_path / "b").artifacts["model.onnx"].stream.states
    assert (state.name, state.output, state.shape) == ("largest", "largest_n", ())


class Sparse(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 3)
        self.register_buffer("mask", torch.eye(3).to_sparse())


def test_a_sparse_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"mask of the model is sparse\. Keep it as tensor\.to_dense\(\)"):
        export_onnx(Sparse(), Signature({"x": "float32[N, 3]"}), tmp_path / "b")


def test_a_lazy_module_has_to_be_run_first(tmp_path: Path) -> None:
    model = nn.Sequential(nn.LazyLinear(5))
    with pytest.raises(LoadError, match=r"0\.weight, 0\.bias of the model has no shape yet\. Run it once"):
        export_onnx(model, Signature({"x": "float32[N, 3]"}), tmp_path / "b")
    model(torch.zeros(1, 3))
    export_onnx(model, Signature({"x": "float32[N, 3]"}), tmp_path / "b")
