"""Cases in, outputs out: what a runtime computes, and one sentence for whatever does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray
from rnn_export import Stream
from rnn_export.bundle.manifest import read_manifest

from clients.conftest import Bundles
from clients.programs import run

Array = NDArray[Any]
Cases = Callable[..., Path]
FILE = {"onnxruntime": "model.onnx", "libtorch": "model.pt", "openvino": "model.onnx"}
X = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)


def stored(client: str) -> tuple[str, ...]:
    return ("torchscript",) if client == "libtorch" else ()


@pytest.fixture
def cases(tmp_path: Path) -> Cases:
    def write(**tensors: Array) -> Path:
        named = {f"one/inputs/{name}": np.ascontiguousarray(array) for name, array in tensors.items()}
        safetensors.numpy.save_file(named, tmp_path / "cases.safetensors")
        return tmp_path / "cases.safetensors"

    return write


@pytest.mark.parametrize("model", ["hetero", "classes", "float16", "scratch"])
def test_outputs(client: str, model: str, bundles: Bundles, tmp_path: Path) -> None:
    bundle = bundles(model, *stored(client))
    ended = run(client, bundle / FILE[client], bundle / "cases.safetensors", tmp_path / "out.safetensors")
    assert (ended.code, ended.stdout, ended.stderr) == (0, "", "")
    got = safetensors.numpy.load_file(tmp_path / "out.safetensors")
    own = safetensors.numpy.load_file(bundle / "cases.safetensors")
    assert sorted(got) == sorted(name for name in own if "/outputs/" in name)
    for name, array in got.items():
        assert (array.shape, array.dtype) == (own[name].shape, own[name].dtype)
        assert np.allclose(array, own[name], atol=2e-3 if array.dtype == np.float16 else 1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["out.safetensors"]


def test_alone(onnx_client: str, bundles: Bundles, tmp_path: Path) -> None:
    bundle = bundles("hetero")
    (tmp_path / "alone.onnx").write_bytes((bundle / "model.onnx").read_bytes())
    assert run(onnx_client, tmp_path / "alone.onnx", bundle / "cases.safetensors", tmp_path / "out").code == 0


@pytest.mark.parametrize("chunk", [[], ["--chunk", "2"]])
def test_states(onnx_client: str, chunk: list[str], bundles: Bundles, cases: Cases, tmp_path: Path) -> None:
    bundle = bundles("tagger", "stateful")
    stream = Stream(bundle, sizes={"N": 2})
    stream.run(X)
    before = stream.states
    logits = stream.run(X)
    out = tmp_path / "out.safetensors"
    ended = run(onnx_client, bundle / "model.onnx", cases(x=X, **before), out, *chunk)
    assert ended.code == 0, ended
    got = safetensors.numpy.load_file(out)
    assert np.allclose(got["one/outputs/logits"], logits, atol=1e-6)
    for name, after in stream.states.items():
        assert np.allclose(got[f"one/outputs/{name.removesuffix('0')}_n"], after, atol=1e-6)


def refused(client: str, *arguments: str | Path) -> str:
    ended = run(client, *arguments)
    assert ended.refused, ended
    return ended.stderr


UNFIT = {
    "missing": ({}, "Case 'one' has no input 'x', which the model takes"),
    "rank": ({"x": X[0]}, "Case 'one' has an input 'x' that is float32[2, 3], not float32[T, N, 3]"),
    "size": ({"x": X[:, :, :2]}, "Case 'one' has an input 'x' that is float32[5, 2, 2], not float32[T, N, 3]"),
    "dtype": (
        {"x": X.astype(np.float64)},
        "Case 'one' has an input 'x' that is float64[5, 2, 3], not float32[T, N, 3]",
    ),
    "nothing": ({"x": X[:, :0]}, "Case 'one' has an input 'x' that is float32[5, 0, 3], and a size of 0 is not run"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_input_that_does_not_fit(client: str, what: str, bundles: Bundles, cases: Cases, tmp_path: Path) -> None:
    tensors, message = UNFIT[what]
    model = bundles("hetero", *stored(client)) / FILE[client]
    out = tmp_path / "out.safetensors"
    assert message in refused(client, model, cases(other=X, **tensors), out)
    assert not out.exists()


def test_runtime_that_refuses(index_client: str, bundles: Bundles, cases: Cases, tmp_path: Path) -> None:
    """OpenVINO does not look whether an index lies in the matrix."""
    model = bundles("scratch", *stored(index_client)) / FILE[index_client]
    given = cases(tokens=np.full((2, 3), 10**6), h0=np.zeros((2, 8), np.float32))
    why = refused(index_client, model, given, tmp_path / "out")
    assert "Case 'one' cannot be run (" in why
    assert {"onnxruntime": "out of", "libtorch": "must be smaller than num_classes"}[index_client] in why


def test_stream_that_does_not_fit(onnx_client: str, bundles: Bundles, cases: Cases, tmp_path: Path) -> None:
    bundle = bundles("tagger", "stateful")
    (state,) = [name for name in Stream(bundle).states if name.startswith("rnn.0")]
    given = cases(x=X, **{state: np.zeros((3, 4), np.float32)})
    message = refused(onnx_client, bundle / "model.onnx", given, tmp_path / "out")
    assert f"Case 'one' has an input '{state}' that is float32[3, 4], not float32[N, 4]" in message


def test_what_is_not_there(client: str, bundles: Bundles, tmp_path: Path) -> None:
    bundle = bundles("single", *stored(client))
    model, given = bundle / FILE[client], bundle / "cases.safetensors"
    assert "There is no model file" in refused(client, tmp_path / "none", given, tmp_path / "out")
    assert "There is no file" in refused(client, model, tmp_path / "none", tmp_path / "out")
    assert "is not a file" in refused(client, model, tmp_path, tmp_path / "out")
    assert "cannot be written" in refused(client, model, given, tmp_path / "none" / "out")
    assert "There is no bundle" in refused(client, "--check", tmp_path / "none")
    assert "There is no file" in refused(client, "--check", tmp_path)
    assert "has no states to carry" in refused(client, model, given, tmp_path / "out", "--chunk", "2")
    assert "has no states to carry" in refused(client, "--check", bundle, "--chunk", "2")
    assert "nowhere" in refused(client, "--check", bundle, "--provider", "nowhere").lower()
    assert "nowhere" in refused(client, model, given, tmp_path / "out", "--provider", "nowhere").lower()
    other = bundles("single", *(() if client == "libtorch" else ("torchscript",)))
    assert f"holds no .{FILE[client].partition('.')[2]} file" in refused(client, "--check", other)


def test_arguments(client: str) -> None:
    for wrong in ([], ["a"], ["a", "b"], ["a", "b", "c", "d"], ["--check"], ["--check", "a", "b"], ["--chunk"]):
        assert refused(client, *wrong)
    for number in ("0", "-1", "x", "1.5", "", "99999999999999999999"):
        assert "--chunk is" in refused(client, "--check", "a", "--chunk", number)
    assert "Unexpected argument '--chunks'. See --help." in refused(client, "--check", "a", "--chunks", "1")
    assert "Unexpected argument '-m'" in refused(client, "-m", "b", "c")
    assert "There is no model file -m." in refused(client, "--", "-m", "b", "c")
    assert "--chunk needs a value." in refused(client, "a", "--chunk")
    assert "There is no bundle -b." in refused(client, "--check", "-b")
    assert "There is no bundle [a,b]." in refused(client, "--check", "[a,b]")
    assert "--chunk is 'x'" in refused(client, "--check", "a", "--chunk", "1", "--chunk=x")


def test_help_and_version(client: str) -> None:
    for option in ("--help", "-h"):
        told = run(client, "a", option)
        assert (told.code, told.stderr) == (0, "")
        assert max(map(len, told.stdout.splitlines())) <= 80
    version = rf"rnn-export-{client} \S+, \S.* \S+, takes \.{FILE[client].partition('.')[2]}\n"
    assert re.fullmatch(version, run(client, "--version").stdout)


def test_model_that_is_none(client: str, copied: Bundles, bundles: Bundles, tmp_path: Path) -> None:
    bundle = copied("single", *stored(client))
    model, given = bundle / FILE[client], bundle / "cases.safetensors"
    whole = model.read_bytes()
    for content in (b"", b"x" * 100, whole[: len(whole) // 2]):
        model.write_bytes(content)
        assert f"{model} cannot be loaded (" in refused(client, model, given, tmp_path / "out")
        assert f"{model} was changed after it was written" in refused(client, "--check", bundle)


def test_torchscript_without_a_manifest(script_client: str, bundles: Bundles, tmp_path: Path) -> None:
    bundle = bundles("single", "torchscript")
    (tmp_path / "model.pt").write_bytes((bundle / "model.pt").read_bytes())
    message = refused(script_client, tmp_path / "model.pt", bundle / "cases.safetensors", tmp_path / "out")
    assert "has no manifest beside it" in message


def test_changed_cases(client: str, copied: Bundles) -> None:
    bundle = copied("single", *stored(client))
    with (bundle / "cases.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    assert "cases.safetensors was changed after it was written" in refused(client, "--check", bundle)


def test_times(client: str, bundles: Bundles, tmp_path: Path) -> None:
    folder = bundles("hetero", *stored(client))
    model, stored_cases = folder / FILE[client], folder / "cases.safetensors"
    ended = run(client, "--time", model, stored_cases)
    assert ended.code == 0, ended
    names = [line.rpartition(" ")[0] for line in ended.stdout.splitlines()]
    assert names == sorted(case.name for case in read_manifest(folder).cases)
    assert all(float(line.rpartition(" ")[2]) > 0 for line in ended.stdout.splitlines())
    assert run(client, "--time", model).refused
    assert run(client, "--time", "--check", folder).refused
