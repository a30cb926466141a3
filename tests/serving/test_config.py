"""Triton model repositories: Triton's own schema parses them, and they fit the file as ONNX Runtime has it.

A real server loads them in test_server.py.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from click.testing import Result
from google.protobuf import text_format
from planting import plant, write_bundle, wrong_bias
from rnn_export import BundleError, InputError, Signature, export_onnx
from rnn_export.publish.copy_bundle import copy_bundle
from rnn_export.publish.triton import CONFIG, write_triton
from rnn_export.publish.triton_config import model_config
from serving.models import Encoder, LastOf, Learned, Scaled, Tagger
from torch import nn

GOLDEN = Path(__file__).parents[1] / "golden"
KINDS = {"tensor(float)": "TYPE_FP32", "tensor(float16)": "TYPE_FP16", "tensor(int64)": "TYPE_INT64"}


def triton_schema() -> Any:
    """Triton's `model_config.proto`, as its client ships it; the package around it would import grpc."""
    spec = importlib.util.find_spec("tritonclient")
    assert spec is not None, "tritonclient is not installed; make test installs it"
    assert spec.submodule_search_locations is not None
    file = Path(spec.submodule_search_locations[0], "grpc", "model_config_pb2.py")
    found = importlib.util.spec_from_file_location("model_config_pb2", file)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


SCHEMA = triton_schema()


def read_config(model: Path) -> Any:
    """The configuration, which has to fit Triton's schema and the file."""
    config = text_format.Parse((model / CONFIG).read_text(), SCHEMA.ModelConfig())
    assert config.name == model.name
    assert config.backend == "onnxruntime"
    session = onnxruntime.InferenceSession(model / "1" / "model.onnx")
    states = config.sequence_batching.state
    given = {each.input_name: each for each in states} | {each.name: each for each in config.input}
    got = {each.output_name: each for each in states} | {each.name: each for each in config.output}
    batched = config.max_batch_size > 0
    for values, entries in ((session.get_inputs(), given), (session.get_outputs(), got)):
        assert {value.name for value in values} == set(entries)
        for value in values:
            check_tensor(entries[value.name], value, batched)
    own = {value.name: sizes(value) for value in session.get_outputs()}
    assert {each.name: dims_of(each, batched) for each in config.output} == {
        each.name: own[each.name] or [1] for each in config.output
    }
    for state in states:
        (begin,) = state.initial_state
        assert list(begin.dims) == list(state.dims)
        assert bool(begin.data_file) != begin.zero_data
        if begin.data_file:
            size = (model / "initial_state" / begin.data_file).stat().st_size
            assert size == 4 * np.prod(state.dims)
    return config


def check_tensor(entry: Any, value: Any, batched: bool) -> None:
    assert SCHEMA.DataType.Name(entry.data_type) == KINDS[value.type]
    dims, own = dims_of(entry, batched), sizes(value) or [1]
    assert len(dims) == len(own)
    assert all(size in (dim, -1) for dim, size in zip(dims, own, strict=True))


def dims_of(entry: Any, batched: bool) -> list[int]:
    """What the model gets of an input, or gives of an output."""
    if hasattr(entry, "reshape") and entry.HasField("reshape"):
        assert batched
        return [-1, *entry.reshape.shape]
    return [*([-1] if batched else []), *entry.dims]


def sizes(value: Any) -> list[int]:
    """A tensor's sizes as Triton's backend for ONNX Runtime sees them in the file."""
    return [size if isinstance(size, int) else -1 for size in value.shape]


def write(tmp_path: Path, model: nn.Module, inputs: dict[str, str], outputs: list[str], **options: Any) -> Any:
    """Export and write a model; returns its configuration and what is said of it."""
    export_onnx(model.eval(), Signature(inputs, outputs=outputs), tmp_path / "bundle", verify=False, **options)
    written = write_triton(tmp_path / "bundle", tmp_path / "models", name="model")
    return read_config(written.folder), written.notes


def assert_same_fields(own: Any, theirs: Any) -> None:
    for field in own.fields:
        other = theirs.fields_by_name[field.name]
        assert (field.number, field.type, field.is_repeated) == (other.number, other.type, other.is_repeated), (
            field.name
        )
        if field.message_type is not None:
            assert_same_fields(field.message_type, other.message_type)
        if field.enum_type is not None:
            numbers = {value.name: value.number for value in other.enum_type.values}
            assert all(numbers[value.name] == value.number for value in field.enum_type.values), field.name


def test_the_messages_are_those_of_triton() -> None:
    assert_same_fields(model_config().DESCRIPTOR, SCHEMA.ModelConfig.DESCRIPTOR)


def test_batch_first_is_batched(tmp_path: Path) -> None:
    config, notes = write(tmp_path, Tagger(), {"x": "float32[N, T, 3]"}, ["y"])
    assert config.max_batch_size == 32
    assert config.HasField("dynamic_batching")
    assert [list(each.dims) for each in (*config.input, *config.output)] == [[-1, 3], [-1, 2]]
    assert notes == ("Batched along N, up to 32: sequences alone gave what a batch gives.",)


def test_int8_is_batched_with_a_warning(tmp_path: Path) -> None:
    inputs = {"x": "float32[N, T, 3]"}
    config, notes = write(tmp_path, Tagger(), inputs, ["y"], quantize="int8")
    assert config.max_batch_size == 32
    assert notes[1].startswith("int8 activations have one scale for the batch")


def test_time_first_is_not_batched(tmp_path: Path) -> None:
    written = write_triton(write_bundle(tmp_path / "b", "tagger"), tmp_path, name="m", instances=3, device="gpu")
    config = read_config(written.folder)
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert [list(each.dims) for each in (*config.input, *config.output)] == [[-1, -1, 3], [-1, 3]]
    (group,) = config.instance_group
    assert (group.count, group.kind) == (3, SCHEMA.ModelInstanceGroup.KIND_GPU)
    assert written.notes[0].startswith("Not batched: N is not the first dimension of input 'x', float32[T, N, 3].")


def test_an_output_with_the_batch_elsewhere_is_not_batched(tmp_path: Path) -> None:
    _, (note,) = write(tmp_path, nn.GRU(3, 4, batch_first=True), {"x": "float32[N, T, 3]"}, ["output", "h_n"])
    assert note.startswith("Not batched: N is not the first dimension of output 'h_n', float32[1, N, 4].")


def test_sequences_that_see_each_other_are_not_batched(tmp_path: Path) -> None:
    config, (note,) = write(tmp_path, Tagger(mixing=True), {"x": "float32[N, T, 3]"}, ["y"])
    assert config.max_batch_size == 0
    assert note.startswith("Not batched: a sequence alone gives something else than in a batch, in case ")


def test_the_time_is_no_batch_where_there_is_no_other(tmp_path: Path) -> None:
    config, (note,) = write(tmp_path, nn.GRU(3, 4), {"x": "float32[T, 3]"}, ["output", "h_n"])
    assert config.max_batch_size == 0
    assert "T is not the first dimension of output 'h_n', float32[1, 4]" in note


def test_padding_that_another_sequence_makes_is_not_batched(tmp_path: Path) -> None:
    inputs = {"x": "float32[N, T, 3]", "lengths": "int64[N] in 1..T"}
    config, (note,) = write(tmp_path, Encoder(3, 4, batch_first=True), inputs, ["output"])
    assert config.max_batch_size == 0
    assert "a sequence alone gives something else than in a batch" in note


def test_one_number_for_each_sequence_is_reshaped(tmp_path: Path) -> None:
    inputs = {"x": "float32[N, T, 3]", "lengths": "int64[N] in 1..T"}
    config, _ = write(tmp_path, LastOf(3, 4, batch_first=True), inputs, ["last"])
    assert config.max_batch_size == 32
    lengths = config.input[1]
    assert list(lengths.dims) == [1]
    assert lengths.HasField("reshape")
    assert list(lengths.reshape.shape) == []


def test_a_single_number_has_one_dimension_in_triton(tmp_path: Path) -> None:
    config, _ = write(tmp_path, Scaled(), {"x": "float32[T, N, 3]", "scale": "float32[]"}, ["y", "total"])
    assert [list(each.dims) for each in (*config.input, *config.output)] == [[-1, -1, 3], [1], [-1, -1, 4], [1]]


def test_sorted_lengths_and_missing_cases_are_not_batched(tmp_path: Path) -> None:
    inputs = {"x": "float32[N, T, 3]", "lengths": "int64[N] in 1..T descending"}
    _, (note,) = write(tmp_path, LastOf(3, 4, batch_first=True), inputs, ["last"])
    assert "'lengths' has to be sorted over the batch" in note
    write(tmp_path, Tagger(), {"x": "float32[N, T, 3]"}, ["y"])
    bare = copy_bundle(tmp_path / "bundle", tmp_path / "bare", without=["cases"])
    (note,) = write_triton(bare.folder, tmp_path / "models", name="bare").notes
    assert "the bundle has no case of several sequences to try it with" in note


def test_a_stream_with_states_of_the_batch_first_is_batched(tmp_path: Path) -> None:
    config, _ = write(tmp_path, Tagger(), {"x": "float32[N, T, 3]"}, ["y"], stateful=True)
    (state,) = config.sequence_batching.state
    assert config.max_batch_size == 32
    assert config.sequence_batching.HasField("direct")
    assert (state.input_name, state.output_name, list(state.dims)) == ("rnn.h0", "rnn.h_n", [4])
    assert state.initial_state[0].zero_data
    assert [list(each.dims) for each in config.input] == [[-1, 3]]


def test_a_stream_with_the_batch_elsewhere_is_one_sequence(tmp_path: Path) -> None:
    config, (note,) = write(tmp_path, Learned(), {"x": "float32[T, N, 3]"}, ["y"], stateful=True)
    (state,) = config.sequence_batching.state
    assert config.max_batch_size == 0
    assert [list(each.dims) for each in (*config.input, *config.output, state)] == [[-1, 1, 3], [-1, -1, 4], [1, 1, 4]]
    begin = np.fromfile(tmp_path / "models" / "model" / "initial_state" / state.initial_state[0].data_file, np.float32)
    assert begin.tolist() == [0.5, -1.0, 0.25, 0.0]
    assert note.endswith("one sequence is open at once; more instances take more.")


def test_states_that_the_model_declares_are_outputs_and_no_inputs(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", "initial_state", stateful=True)
    config = read_config(write_triton(bundle, tmp_path, name="m").folder)
    assert {state.input_name for state in config.sequence_batching.state} == {"h0"}
    assert [each.name for each in config.input] == ["x"]
    assert {each.name for each in config.output} == {"logits", "h_n"}


@pytest.mark.parametrize(("spec", "dims"), [("float32[T, 3]", [-1, 3]), ("float32[T, B, 3]", [-1, 1, 3])])
def test_a_stream_is_not_batched_along_its_time(spec: str, dims: list[int], tmp_path: Path) -> None:
    config, _ = write(tmp_path, nn.GRU(3, 4), {"x": spec}, ["output", "h_n"], stateful=True)
    assert [list(each.dims) for each in config.input] == [dims]


@pytest.mark.parametrize(
    "options", [{"max_batch": -1}, {"max_batch": 2**31}, {"instances": 0}, {"instances": 2**31}, {"device": "tpu"}]
)
def test_what_is_no_number_or_device_for_triton_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Give a number from|Choose from cpu, gpu"):
        write_triton(GOLDEN / "onnx", tmp_path / "models", **options)
    assert not list(tmp_path.iterdir())


def test_the_models_own_states_stay_inputs_without_a_stream(tmp_path: Path) -> None:
    config = read_config(write_triton(write_bundle(tmp_path / "b", "scratch"), tmp_path, name="m").folder)
    assert not config.HasField("sequence_batching")


def test_what_triton_cannot_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no ONNX file, but model.pt"):
        write_triton(GOLDEN / "torchscript", tmp_path)
    with pytest.raises(InputError, match="'a b' is not a name for a model"):
        write_triton(GOLDEN / "onnx", tmp_path, name="a b")
    assert not list(tmp_path.iterdir())


def test_the_command_writes_into_a_repository_of_others(cli: Callable[..., Result], tmp_path: Path) -> None:
    other = tmp_path / "models" / "other"
    other.mkdir(parents=True)
    (other / "config.txt").write_text("another's")
    for _ in range(2):
        result = cli("triton", str(GOLDEN / "onnx"), "--out", "models", "--instances", "2", "--json")
        assert result.exit_code == 0, result.output
    (written,) = json.loads(result.stdout)
    assert set(written["files"]) == {"config.pbtxt", "1/model.onnx"}
    assert "2 sequences are open at once" in written["notes"][0]
    assert cli("triton", str(GOLDEN / "onnx"), "--out", "models", "--name", "other").exit_code == 2
    assert (other / "config.txt").read_text() == "another's"


def test_weights_beside_the_file_come_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnn_export.onnx_file.INLINE_LIMIT", 0)
    write(tmp_path, nn.GRU(3, 64), {"x": "float32[T, N, 3]"}, ["output", "h_n"])
    assert (tmp_path / "models" / "model" / "1" / "model.onnx.data").is_file()


def test_int8_is_refused_on_a_gpu(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", "single", quantize="int8")
    with pytest.raises(InputError, match="int8 weights, which ONNX Runtime does not run on CUDA"):
        write_triton(bundle, tmp_path / "models", device="gpu")


def test_a_file_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    export_onnx(Tagger(), Signature({"x": "float32[N, T, 3]"}, ["y"]), tmp_path / "b")
    plant(tmp_path / "b", wrong_bias)
    with pytest.raises(BundleError, match="does not compute what the bundle stores"):
        write_triton(tmp_path / "b", tmp_path / "models")


@pytest.mark.parametrize("change", ["by hand", "another version", "an edited configuration", "an edited model", "none"])
def test_a_model_of_somebody_elses_is_left_alone(change: str, tmp_path: Path) -> None:
    place = write_triton(GOLDEN / "onnx", tmp_path, name="mine").folder
    if change == "by hand":
        (place / CONFIG).write_text('name: "mine"\n')
    elif change == "another version":
        (place / "2").mkdir()
        (place / "2" / "model.onnx").write_bytes(b"mine")
    elif change == "an edited configuration":
        (place / CONFIG).write_text((place / CONFIG).read_text() + "# tuned\n")
    elif change == "an edited model":
        (place / "1" / "model.onnx").write_bytes(b"mine")
    else:
        (place / CONFIG).unlink()
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    with pytest.raises(BundleError, match="holds something other than a Triton model, which is left alone"):
        write_triton(GOLDEN / "onnx", tmp_path, name="mine")
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("stride", "multiple"), [(1, ()), (2, ("T of every request is a multiple of 2.",))])
def test_what_a_client_of_a_late_stream_has_to_know_is_said(
    stride: int, multiple: tuple[str, ...], tmp_path: Path
) -> None:
    late = nn.Conv1d(3, 4, 5, stride=stride, padding=2)
    config, notes = write(tmp_path, late, {"x": "float32[N, 3, T]"}, ["y"], stateful=True)
    assert config.max_batch_size == 32
    (state,) = config.sequence_batching.state
    assert list(state.dims) == [3, 4]
    delay = 2 // stride
    said = f"The first {delay} elements of 'y' in a sequence mean nothing: it is late."
    assert notes[1:] == (*multiple, said)
