"""Cases as the ONNX project has its tests: its own runner reads them, and they fail where the file is wrong."""

from __future__ import annotations

import json
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from onnx.backend.base import Backend, BackendRep
from onnx.backend.test import BackendTest, runner
from onnx.backend.test.loader import load_model_tests
from onnx.reference import ReferenceEvaluator
from planting import plant, write_bundle, wrong_bias
from rnn_export import BundleError, InputError, Signature, export_onnx
from rnn_export.publish.copy_bundle import copy_bundle
from rnn_export.publish.onnx_tests import write_onnx_tests
from torch import Tensor, nn

pytestmark = pytest.mark.usefixtures("short_streams")

GOLDEN = Path(__file__).parents[1] / "golden"


class Rep(BackendRep):
    def __init__(self, model: onnx.ModelProto) -> None:
        self.session = onnxruntime.InferenceSession(model.SerializeToString())

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        names = [value.name for value in self.session.get_inputs()]
        return tuple(self.session.run(None, dict(zip(names, inputs, strict=True))))


class OnnxRuntime(Backend):
    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> Rep:
        return Rep(model)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"


@pytest.fixture
def run_tests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], unittest.TestResult]:
    """Run the tests in `simple/` with the ONNX project's own loader and runner, in place of those that it brings."""

    def load_ours(kind: str) -> list[Any]:
        return load_model_tests(str(tmp_path), kind) if kind == "simple" else []

    def run_tests() -> unittest.TestResult:
        monkeypatch.setattr(runner, "load_model_tests", load_ours)
        result = unittest.TestResult()
        BackendTest(OnnxRuntime, __name__).test_suite.run(result)
        return result

    return run_tests


def write(tmp_path: Path, name: str = "single", **options: Any) -> Path:
    bundle = write_bundle(tmp_path / name, name, **options)
    return write_onnx_tests(bundle, tmp_path / "simple" / f"test_{name}").folder


@pytest.mark.parametrize("name", ["single", "initial_state", "tagger"])
def test_the_onnx_project_runs_them(name: str, tmp_path: Path, run_tests: Callable[[], unittest.TestResult]) -> None:
    write(tmp_path, name)
    result = run_tests()
    assert result.testsRun - len(result.skipped) == 1
    assert result.wasSuccessful(), result.failures + result.errors


@pytest.mark.parametrize(
    ("name", "settings"), [("tagger", {"cell": "lstm"}), ("scratch", {}), ("initial_state", {"cell": "gru"})]
)
def test_a_stream_returns_its_states(
    name: str, settings: dict[str, object], tmp_path: Path, run_tests: Callable[[], unittest.TestResult]
) -> None:
    folder = write(tmp_path, name, settings=settings, stateful=True)
    assert run_tests().wasSuccessful()
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for data_set in folder.glob("test_data_set_*"):
        for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
            stored = [onnx.load_tensor(path) for path in sorted(data_set.glob(f"{kind}_*"))]
            assert {tensor.name for tensor in stored} == {value.name for value in values}
    assert 0 < json.loads((folder / "data.json").read_text())["atol"] < 1e-5


def test_a_large_state_does_not_widen_the_tolerance_of_outputs(
    tmp_path: Path, run_tests: Callable[[], unittest.TestResult]
) -> None:
    class Scaled(nn.Module):
        """A sum that grows to millions is a state beside the cell's."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.cell = nn.GRUCell(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            h, total = x.new_zeros(x.size(1), 4), x.new_zeros(x.size(1), 3)
            steps = []
            for t in range(x.size(0)):
                total = total + x[t] * x[t] * 1e6
                h = self.cell(torch.tanh(total * 1e-6), h)
                steps.append(h)
            return torch.stack(steps)

    export_onnx(Scaled(), Signature({"x": "float32[T, N, 3]"}), tmp_path / "b", stateful=True)
    folder = write_onnx_tests(tmp_path / "b", tmp_path / "simple" / "test_scaled").folder
    assert run_tests().wasSuccessful()
    assert json.loads((folder / "data.json").read_text())["atol"] < 1e-5
    model = onnx.load(folder / "model.onnx")
    wrong_bias(model)
    onnx.save(model, folder / "model.onnx")
    assert len(run_tests().failures) == 1


def test_a_case_that_is_known_to_differ_is_left_out(
    tmp_path: Path, run_tests: Callable[[], unittest.TestResult]
) -> None:
    torch.manual_seed(0)
    inputs = {"x": "float32[N, T, 3]"}
    model = nn.GRU(3, 32, batch_first=True)
    exported = export_onnx(model, Signature(inputs, ["output", "h_n"]), tmp_path / "b", quantize="int8")
    assert "saturating" in {result.case.values for result in exported.report.cases if result.verdict == "EXPECTED"}
    written = write_onnx_tests(tmp_path / "b", tmp_path / "simple" / "test_int8")
    assert len(written.notes) == 1
    assert "Case saturating-" in written.notes[0]
    assert run_tests().wasSuccessful()


@pytest.mark.parametrize("stateful", [False, True])
def test_a_file_that_is_wrong_is_refused(stateful: bool, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", "single", stateful=stateful)
    plant(bundle, wrong_bias)
    with pytest.raises(BundleError, match="does not compute case ordinary-T7-N5 as PyTorch does"):
        write_onnx_tests(bundle, tmp_path / "tests")


def test_int8_has_a_tolerance_of_its_own(tmp_path: Path, run_tests: Callable[[], unittest.TestResult]) -> None:
    coarse = write(tmp_path, quantize="int8")
    fine = write(tmp_path, "deep")
    tolerances = [json.loads((folder / "data.json").read_text()) for folder in (coarse, fine)]
    assert [entry["rtol"] for entry in tolerances] == [0, 0]
    assert tolerances[0]["atol"] > 1e-2
    assert 0 < tolerances[1]["atol"] < 1e-4
    assert run_tests().wasSuccessful()


def test_a_wrong_file_fails(tmp_path: Path, run_tests: Callable[[], unittest.TestResult]) -> None:
    folder = write(tmp_path)
    model = onnx.load(folder / "model.onnx")
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "rnn.weight_hh_l0")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    onnx.save(model, folder / "model.onnx")
    assert len(run_tests().failures) == 1


def test_the_reference_evaluator_gives_the_same(tmp_path: Path) -> None:
    folder = write(tmp_path)
    evaluator = ReferenceEvaluator(str(folder / "model.onnx"))
    atol = json.loads((folder / "data.json").read_text())["atol"]
    for data_set in folder.glob("test_data_set_*"):
        tensors = {path.stem: onnx.load_tensor(path) for path in data_set.iterdir()}
        inputs = {t.name: numpy_helper.to_array(t) for stem, t in tensors.items() if stem.startswith("input")}
        outputs = {t.name: numpy_helper.to_array(t) for stem, t in tensors.items() if stem.startswith("output")}
        got = evaluator.run(list(outputs), inputs)
        for array, expected in zip(got, outputs.values(), strict=True):
            np.testing.assert_allclose(array, expected, rtol=0, atol=atol)


def test_what_cannot_be_tests_is_refused(tmp_path: Path) -> None:
    bare = copy_bundle(write_bundle(tmp_path / "single", "single"), tmp_path / "bare", without=["cases"])
    with pytest.raises(InputError, match="holds no cases to make tests of"):
        write_onnx_tests(bare.folder, tmp_path / "tests")
    with pytest.raises(BundleError, match="holds no ONNX file, but model.pt. Export it with rnn-export onnx."):
        write_onnx_tests(GOLDEN / "torchscript", tmp_path / "tests")
    assert not (tmp_path / "tests").exists()


def test_tests_take_the_place_of_tests_alone(tmp_path: Path) -> None:
    folder = write(tmp_path)
    assert write_onnx_tests(tmp_path / "single", folder).folder == folder
    with pytest.raises(BundleError, match="holds something other than a test, which is left alone"):
        write_onnx_tests(tmp_path / "single", tmp_path)


@pytest.mark.parametrize("change", ["another file", "an edited file", "a folder", "another record"])
def test_tests_that_hold_anything_of_the_users_are_left_alone(change: str, tmp_path: Path) -> None:
    folder = write(tmp_path)
    if change == "another file":
        (folder / "test_data_set_0" / "notes.txt").write_text("mine")
    elif change == "an edited file":
        (folder / "test_data_set_0" / "input_0.pb").write_bytes(b"mine")
    elif change == "a folder":
        (folder / "test_data_set_mine").mkdir()
    else:
        (folder / "data.json").write_text('{"rtol": 0.1, "atol": 0.1}')
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(BundleError, match="holds something other than a test, which is left alone"):
        write_onnx_tests(tmp_path / "single", folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
