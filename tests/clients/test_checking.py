"""Every client finds right bundles right, in one pass and in chunks, and changed ones wrong."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import rnn_export
import safetensors.numpy
from conftest import SMALL
from msgspec.structs import replace
from mutation.streams import carried_state_stuck
from onnx import numpy_helper
from planting import plant, renew_hash, wrong_bias
from rnn_export import export_torchscript, load
from rnn_export.bundle.manifest import CASES, read_manifest, write_manifest
from rnn_export.spec.options import Precision

from clients.conftest import Bundles
from clients.programs import ROOT, run

MODELS = [*SMALL, "classes", "learned", "bidirectional", "float16"]
GOLDEN = ROOT / "tests" / "golden"
STREAMS = ["single", "tagger", "classifier", "initial_state", "scratch", "classes", "learned", "ahead"]
LINE = re.compile(r"\S+ +error \S+ +limit \S+ +PASS")


def stored(client: str) -> tuple[str, ...]:
    return ("torchscript",) if client == "libtorch" else ()


def assert_right(client: str, bundle: Path, *options: str) -> None:
    ended = run(client, "--check", bundle, *options)
    assert (ended.code, ended.stderr) == (0, ""), ended
    *cases, summary = ended.stdout.splitlines()
    assert cases
    assert all(LINE.fullmatch(line) for line in cases), ended.stdout
    assert f" on cpu: {len(cases)} of {len(cases)} cases pass" in summary


@pytest.mark.parametrize("model", MODELS)
def test_right(client: str, model: str, bundles: Bundles) -> None:
    assert_right(client, bundles(model, *stored(client)))


@pytest.mark.parametrize("chunk", ["", "1", "7"])
@pytest.mark.parametrize("model", STREAMS)
def test_stream(onnx_client: str, model: str, chunk: str, bundles: Bundles) -> None:
    assert_right(onnx_client, bundles(model, "stateful"), *(["--chunk", chunk] if chunk else []))


@pytest.mark.parametrize("chunk", ["", "2", "6"])
def test_strides_take_chunks_of_their_multiple(onnx_client: str, chunk: str, bundles: Bundles) -> None:
    assert_right(onnx_client, bundles("strided", "stateful"), *(["--chunk", chunk] if chunk else []))


def test_no_other_chunk_is_fed(onnx_client: str, bundles: Bundles) -> None:
    ended = run(onnx_client, "--check", bundles("strided", "stateful"), "--chunk", "3")
    assert ended.code == 2
    assert "takes chunks of a multiple of 2 steps" in ended.stderr


@pytest.mark.skipif(
    "AzureExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="this ONNX Runtime has no provider that is there and takes no node",
)
def test_nodes_that_run_on_the_cpu(provider_client: str, bundles: Bundles) -> None:
    ended = run(provider_client, "--check", bundles("hetero"), "--provider", "azure")
    assert (ended.code, ended.stderr) == (0, "")
    assert " on azure, some nodes on the CPU: 2 of 2 cases pass" in ended.stdout


@pytest.mark.parametrize(("model", "spelled"), [("tagger", "T*N"), ("classes", "N*T")])
def test_chunks_are_joined_in_the_order_that_the_manifest_spells(
    model: str, spelled: str, onnx_client: str, copied: Bundles
) -> None:
    bundle = copied(model, "stateful")
    manifest = read_manifest(bundle)
    (name,) = [name for name, described in manifest.outputs.items() if spelled in described]
    assert_right(onnx_client, bundle, "--chunk", "2")
    for other, code, said in (("*".join(reversed(spelled.split("*"))), 1, "1 of 2 cases pass"), ("M*T", 2, "")):
        described = manifest.outputs[name].replace(spelled, other)
        write_manifest(bundle, replace(manifest, outputs={**manifest.outputs, name: described}))
        ended = run(onnx_client, "--check", bundle, "--chunk", "2")
        assert ended.code == code, ended
        assert said in ended.stdout


@pytest.mark.parametrize(
    ("kind", "options"), [("plain", []), ("stateful", []), ("stateful", ["--chunk", "2"]), ("int8", [])]
)
def test_golden_bundles(kind: str, options: list[str], int8_client: str) -> None:
    assert_right(int8_client, GOLDEN / f"format3-{kind}", *options)


def test_float64(float64_client: str, bundles: Bundles) -> None:
    """OpenVINO computes these in float32, and so fails them."""
    assert_right(float64_client, bundles("float64", *stored(float64_client)))


def test_int8(int8_client: str, bundles: Bundles) -> None:
    assert_right(int8_client, bundles("deep", "int8"))
    assert_right(int8_client, bundles("deep", "stateful", "int8"), "--chunk", "1")


def test_wrong_weights(client: str, copied: Bundles, tmp_path: Path) -> None:
    bundle = copied("single", *stored(client))
    if client == "libtorch":
        other = load("single", **SMALL["single"], seed=4)
        export_torchscript(other.model, other.signature, tmp_path / "other", verify=False)
        (bundle / "model.pt").write_bytes((tmp_path / "other" / "model.pt").read_bytes())
        renew_hash(bundle, "model.pt")
    else:
        plant(bundle, wrong_bias)
    ended = run(client, "--check", bundle)
    assert ended.code == 1, ended
    assert re.search(r" FAIL  '\w+' \[\d, \d, \d\] is off by \d", ended.stdout), ended.stdout
    assert "0 of 2 cases pass" in ended.stdout


def test_lost_state(onnx_client: str, copied: Bundles) -> None:
    bundle = copied("tagger", "stateful")
    plant(bundle, _stuck)
    assert run(onnx_client, "--check", bundle).code == 0
    ended = run(onnx_client, "--check", bundle, "--chunk", "1")
    assert ended.code == 1, ended
    assert "ordinary-T7-N5           error" in ended.stdout
    assert "1 of 2 cases pass" in ended.stdout


def _stuck(model: onnx.ModelProto) -> None:
    changed = carried_state_stuck(model)
    assert changed is not None
    model.CopyFrom(changed)


def test_int8_beyond_its_bound_is_expected(int8_client: str, copied: Bundles) -> None:
    bundle = copied("deep", "int8")
    tighten(bundle)
    assert run(int8_client, "--check", bundle).code == 1
    manifest = read_manifest(bundle)
    cases = tuple(replace(case, values="saturating") for case in manifest.cases)
    write_manifest(bundle, replace(manifest, cases=cases))
    ended = run(int8_client, "--check", bundle)
    assert ended.code == 0, ended
    assert ended.stdout.count(" EXPECTED  '") == len(cases)


def tighten(bundle: Path) -> None:
    tensors = safetensors.numpy.load_file(bundle / CASES)
    limits = {name: np.full_like(array, 1e-9) for name, array in tensors.items() if "/limits/" in name}
    assert limits
    safetensors.numpy.save_file(tensors | limits, bundle / CASES)
    renew_hash(bundle, CASES)


def test_version(client: str) -> None:
    ended = run(client, "--version")
    assert re.fullmatch(
        rf"rnn-export-{client} {re.escape(rnn_export.__version__)}, \w.* \d+\.\d+\S*, takes \.\w+\n", ended.stdout
    )
    assert "--provider" in run(client, "--help").stdout
    assert max(map(len, run(client, "--help").stdout.splitlines())) <= 120


def test_a_float16_stream_begins_with_zeros(onnx_client: str, bundles: Bundles) -> None:
    for chunk in ("1", "7"):
        assert_right(onnx_client, bundles("float16", "stateful"), "--chunk", chunk)
    assert_right(onnx_client, bundles("float16", "stateful"))


def test_a_bound_of_float16_excuses_nothing(onnx_client: str, copied: Bundles) -> None:
    bundle = copied("float16")
    manifest = read_manifest(bundle)
    artifact = replace(manifest.artifacts["model.onnx"], precision=Precision("float16", 0.004, None))
    cases = tuple(replace(case, values="saturating") for case in manifest.cases)
    write_manifest(bundle, replace(manifest, artifacts={"model.onnx": artifact}, cases=cases))
    assert run(onnx_client, "--check", bundle).code == 0
    plant(bundle, half_too_large)
    assert run(onnx_client, "--check", bundle).code == 1


def half_too_large(model: onnx.ModelProto) -> None:
    """The first bias, of float16, is off by 0.5."""
    tensor = next(each for each in model.graph.initializer if "bias" in each.name)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float16(0.5), tensor.name))
