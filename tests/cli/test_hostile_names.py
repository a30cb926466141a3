"""Names in a file from a stranger are shown as they are: no markup, no escape sequence, and no error of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from click.testing import Result
from onnx import TensorProto, helper
from rnn_export.cli.plain import plain, short

Cli = Callable[..., Result]
NAMES = [
    "[/bold]",
    "[bold red]x",
    "[link=http://example.org]x[/link]",
    "ends in a backslash\\",
    "\\[x]",
    ":warning:",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "two\nlines",
    "back\r\b\b\bspace",
    "\x9b31mred",
    "right\u202eleft",
    "zero\u200bwidth",
    "nul\x00",
    "long" * 50_000,
    " ",
    "日本語",
]
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e]")


def hostile(name: str) -> onnx.ModelProto:
    """A model in which everything that has a name has this one."""
    x = helper.make_tensor_value_info(f"{name}i", TensorProto.FLOAT, [name, 3])
    y = helper.make_tensor_value_info(f"{name}o", TensorProto.FLOAT, [name, 3])
    node = helper.make_node(f"{name}Op", [x.name], [y.name], domain="other")
    graph = helper.make_graph([node], name, [x], [y])
    model = helper.make_model(graph, producer_name=name, producer_version=name)
    helper.set_model_props(model, {"rnn_export.states": json.dumps({name: {"output": name, "reset": name}})})
    return model


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_inspect_shows_names_as_they_are(name: str, cli: Cli, tmp_path: Path) -> None:
    onnx.save(hostile(name), tmp_path / "model.onnx")
    result = cli("inspect", "model.onnx")
    assert result.exit_code == 0, result.output
    assert not UNSEEN.search(result.stdout)
    shown = re.sub(r"\s+", "", result.stdout)
    assert re.sub(r"\s+", "", f"{short(name + 'i')}:") in shown
    assert len(result.stdout) < 8_000
    assert json.loads(cli("inspect", "model.onnx", "--json").stdout)[0]["inputs"]


@pytest.mark.parametrize(
    "states", ["{", "[]", "3", '{"h0": 3}', '{"h0": {"output": "h"}}', "null", "[" * 100_000], ids=range(7)
)
def test_states_that_no_export_writes(states: str, cli: Cli, tmp_path: Path) -> None:
    model = hostile("x")
    helper.set_model_props(model, {"rnn_export.states": states})
    onnx.save(model, tmp_path / "model.onnx")
    result = cli("inspect", "model.onnx")
    assert result.exit_code == 2
    assert "names its states in a way that no export does" in result.stderr


def test_a_dtype_and_files_that_cannot_be(cli: Cli, tmp_path: Path) -> None:
    model = hostile("x")
    model.graph.input[0].type.tensor_type.elem_type = 99
    for location in ("nul\x00", "long" * 2_000, "\x1b[31m"):
        tensor = model.graph.initializer.add(name=location[:9], data_type=TensorProto.FLOAT, dims=[2])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    result = cli("inspect", "model.onnx")
    assert result.exit_code == 0, result.output
    assert "?[x, 3]" in result.stdout


@pytest.mark.parametrize("folder", ["[bold]", "\x1b[31m", "[/x]"])
def test_paths_are_shown_as_they_are(folder: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir(parents=True)
    onnx.save(hostile("x"), tmp_path / folder / "model.onnx")
    result = cli("inspect", f"{folder}/model.onnx")
    assert plain(f"{folder}/model.onnx") in result.stdout
    missing = cli("inspect", f"{folder}/other.onnx")
    assert missing.exit_code == 2
    assert not UNSEEN.search(result.stdout + missing.stderr)


def test_a_manifest_with_names_of_a_strangers(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text(json.dumps({"format": 2, "\x1b[31m[/bold]": 1, "sha256": "0"}))
    result = cli("verify", "out")
    assert result.exit_code == 2
    assert "internal" not in result.stderr.lower()
    assert not UNSEEN.search(result.stderr)


def test_a_long_name_keeps_its_ends() -> None:
    assert short("a" * 1_000 + "z") == "a" * 60 + "… (881 more characters) …" + "a" * 59 + "z"
    assert short("a" * 120) == "a" * 120
    assert plain("a\x1b\ud800é\n") == "a\\x1b\\ud800é\\n"
