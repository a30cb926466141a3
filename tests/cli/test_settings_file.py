"""`rnn-export.toml` and `[tool.rnn-export]`: a name stands for a model and its options."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result

Cli = Callable[..., Result]
MODEL = """
class Mine(nn.Module):
    def __init__(self, width: int = 3, hidden: int = 4):
        super().__init__()
        self.rnn = nn.GRU(width, hidden, batch_first=True)
    def forward(self, x):
        return self.rnn(x)[0]
"""
TABLE = """
model = "user_model.py:Mine"
set = { width = 2, hidden = 5 }
input = "x: float32[N, T, 2]"
output = ["y"]
opset = 20
"""


@pytest.mark.parametrize(
    ("file", "table"), [("rnn-export.toml", "[mine]"), ("pyproject.toml", "[tool.rnn-export.mine]")]
)
def test_a_name_stands_for_its_options(cli: Cli, write: Callable[[str], Path], file: str, table: str) -> None:
    write(MODEL)
    Path(file).write_text(table + TABLE)
    assert cli("onnx", "mine").exit_code == 0
    manifest = json.loads(Path("artifacts/mine/manifest.json").read_text())
    assert list(manifest["outputs"]) == ["y"]
    assert manifest["artifacts"]["model.onnx"]["opset"] == 20
    assert cli("onnx", "mine", "--opset", "18", "--out", "other").exit_code == 0
    assert json.loads(Path("other/manifest.json").read_text())["artifacts"]["model.onnx"]["opset"] == 18
    assert cli("torchscript", "mine").exit_code == 0


def test_built_in_models_stay_what_they_are(cli: Cli, write: Callable[[str], Path]) -> None:
    write(MODEL)
    Path("rnn-export.toml").write_text("[mine]" + TABLE)
    assert cli("onnx", "single", "--set=hidden_size=4", "--set=input_size=3", "--no-verify").exit_code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[mine]\nmodle = "x"', "rnn-export.toml gives 'modle' for mine. Did you mean 'model'?"),
        ("[mine]\nopset = 20", "rnn-export.toml has no 'model' for mine. Say there which one it is."),
        ('model = "x"', "gives 'model' for no model. Put it in a table of the model's name, such as [mine]."),
        ("[mine", "rnn-export.toml is not TOML"),
    ],
)
def test_a_mistake_in_it_is_said(cli: Cli, content: str, said: str) -> None:
    Path("rnn-export.toml").write_text(content)
    result = cli("onnx", "mine")
    assert result.exit_code == 2
    assert said in result.stderr


def test_no_model_lists_what_the_file_names(cli: Cli) -> None:
    Path("rnn-export.toml").write_text("[mine]\n[yours]\n")
    assert "or one of rnn-export.toml: mine, yours." in cli("onnx").stderr


@pytest.mark.parametrize("ending", ["npz", "npy", "safetensors", "pt"])
def test_an_example_is_read_from_a_file(cli: Cli, write: Callable[[str], Path], ending: str) -> None:
    write(MODEL)
    x = np.random.default_rng(0).normal(size=(4, 9, 3)).astype("float32")
    path = f"example.{ending}"
    if ending == "npz":
        np.savez(path, x=x)
    elif ending == "npy":
        np.save(path, x)
    elif ending == "pt":
        torch.save({"x": torch.from_numpy(x)}, path)
    else:
        from safetensors.numpy import save_file

        save_file({"x": x}, path)
    asked = cli("onnx", "user_model.py:Mine", "--example", path)
    assert asked.exit_code == 2
    assert "It runs with --input 'x: float32[N, T, 3]'; give that if it is right." in asked.stderr
    result = cli("onnx", "user_model.py:Mine", "--example", path, "--input", "x: float32[N, T, 3]")
    assert result.exit_code == 0, result.output
    assert json.loads(Path("artifacts/Mine/manifest.json").read_text())["from_example"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.npz", None, "There is no file absent.npz."),
        ("notes.txt", b"x", "notes.txt is no example that can be read. Give one as .npz, .npy, .safetensors, .pt."),
        ("bad.npz", b"x", "bad.npz cannot be read"),
        ("bad.safetensors", b"x", "bad.safetensors is not a safetensors file"),
        ("bad.pt", b"x", "bad.pt cannot be read"),
    ],
)
def test_an_example_that_cannot_be_read(cli: Cli, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    result = cli("onnx", "hetero", "--example", name)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_misspelt_input_and_full_width_punctuation(cli: Cli, write: Callable[[str], Path]) -> None:
    write(MODEL.replace("x)", "frames)"))
    result = cli("onnx", "user_model.py:Mine", "--input", "frame: float32[N, T, 3]")
    assert result.exit_code == 2
    assert "forward of Mine has no argument 'frame'. Did you mean 'frames'?" in result.stderr
    wide = "frames：float32［N，T，3］"  # noqa: RUF001
    assert cli("onnx", "user_model.py:Mine", "--input", wide, "--no-verify").exit_code == 0
