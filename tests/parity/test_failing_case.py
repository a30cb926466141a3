"""A fault's smallest case is stored in a file, and the printed command runs it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import Result
from onnx import numpy_helper
from planting import plant, renew_hash, write_bundle, wrong_bias
from rnn_export import BundleError, verify
from rnn_export.parity.failing_case import read_failing_case, write_failing_case

pytestmark = pytest.mark.usefixtures("short_streams")

Cli = Callable[..., Result]


def test_the_smallest_case_is_found_written_and_run_again(cli: Cli, tmp_path: Path) -> None:
    plant(write_bundle(tmp_path / "out", "tagger"), wrong_bias)
    result = cli("verify", "out", "--seed", "1")
    assert result.exit_code == 1
    assert "The smallest case of model.onnx that fails: zero values at T=1, N=1." in result.stdout
    command = result.stdout.split("To run it again:")[1].strip()
    assert json.loads(cli("verify", "out", "--json").stdout)["faults"][0]["files"] == [
        "out.model.onnx.case.safetensors"
    ]
    file = tmp_path / "out.model.onnx.case.safetensors"
    assert file.is_file()
    again = cli(*shlex.split(command)[1:])
    assert again.exit_code == 1
    assert "x = [[[0.0, 0.0, 0.0]]]" in again.stdout
    assert "FAIL" in again.stdout
    assert "times the limit" in again.stderr
    data = json.loads(cli(*shlex.split(command)[1:], "--json").stdout)
    assert not data["passed"]
    assert data["reports"][0]["cases"][0]["sizes"] == {"T": 1, "N": 1}


def test_once_fixed_the_case_passes(cli: Cli, tmp_path: Path) -> None:
    good = (write_bundle(tmp_path / "out", "tagger") / "model.onnx").read_bytes()
    plant(tmp_path / "out", wrong_bias)
    assert cli("verify", "out").exit_code == 1
    (tmp_path / "out" / "model.onnx").write_bytes(good)
    renew_hash(tmp_path / "out", "model.onnx")
    result = cli("verify", "out", "--case", "out.model.onnx.case.safetensors")
    assert result.exit_code == 0, result.output
    assert "PASS" in result.stdout


def test_a_fault_in_the_length(tmp_path: Path) -> None:
    """The file is right up to ten steps: shrinking finds the eleventh, where even zeros change the state."""

    def cut(model: onnx.ModelProto) -> None:
        starts, ends = (numpy_helper.from_array(np.array([k], np.int64), f"cut{k}") for k in (0, 10))
        model.graph.initializer.extend([starts, ends])
        for node in model.graph.node:
            node.input[:] = ["cut" if name == "x" else name for name in node.input]
        model.graph.node.insert(0, onnx.helper.make_node("Slice", ["x", "cut0", "cut10", "cut0"], ["cut"]))

    plant(write_bundle(tmp_path / "out", "classifier"), cut)
    (fault,) = verify(tmp_path / "out", seed=2).faults
    failing = fault.failing
    assert failing.item.case.sizes == {"T": 11, "N": 1}
    assert failing.item.case.values == "zero"


def test_a_fault_that_only_chunks_show(cli: Cli, tmp_path: Path) -> None:
    def negate_state(model: onnx.ModelProto) -> None:
        state = model.graph.output[-1].name
        for node in model.graph.node:
            node.output[:] = ["kept" if name == state else name for name in node.output]
            node.input[:] = ["kept" if name == state else name for name in node.input]
        model.graph.node.append(onnx.helper.make_node("Neg", ["kept"], [state]))

    plant(write_bundle(tmp_path / "out", "tagger", stateful=True), negate_state)
    (fault,) = verify(tmp_path / "out", seed=2).faults
    failing = fault.failing
    assert failing.fed is not None
    assert list(failing.fed.lengths) == [1, 1]
    assert failing.item.case.sizes == {"T": 2, "N": 1}
    path = tmp_path / "case.safetensors"
    write_failing_case(path, failing)
    assert cli("verify", "out", "--case", str(path)).exit_code == 1


def test_a_file_reads_back_as_written(tmp_path: Path) -> None:
    plant(write_bundle(tmp_path / "out", "tagger"), wrong_bias)
    (fault,) = verify(tmp_path / "out", seed=1).faults
    failing = fault.failing
    path = tmp_path / "case.safetensors"
    write_failing_case(path, failing)
    read = read_failing_case(path)
    assert (read.artifact, read.item.case) == (failing.artifact, failing.item.case)
    for name, tolerance in failing.item.tolerances.items():
        np.testing.assert_array_equal(read.item.tolerances[name].limit, tolerance.limit)
    for name, array in failing.item.inputs.items():
        np.testing.assert_array_equal(read.item.inputs[name], array)


def test_invalid_files_are_refused(cli: Cli, tmp_path: Path) -> None:
    plant(write_bundle(tmp_path / "out", "tagger"), wrong_bias)
    write_bundle(tmp_path / "other", "single")
    cli("verify", "out")
    file = "out.model.onnx.case.safetensors"
    (tmp_path / "broken").write_bytes((tmp_path / file).read_bytes()[:100])
    refused = {
        ("other", "--case", file): "is a case of another model.onnx than other holds",
        ("out", "--case", "broken"): "broken is not a case that verify wrote",
        ("out", "--case", "absent"): "The case absent does not exist. Give the file that verify named",
        ("out", "--case", "out/cases.safetensors"): "is not a case that verify wrote",
        ("out", "--case", file, "--seed", "1"): "Leave out --model, --make-cases, --seed, --long and --bisect",
    }
    for arguments, said in refused.items():
        result = cli("verify", *arguments)
        assert result.exit_code == 2, result.output
        assert said in result.stderr
    with pytest.raises(BundleError):
        read_failing_case(tmp_path)
