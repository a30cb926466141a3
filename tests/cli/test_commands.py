"""The commands, through the entry point: what they print, for people and for machines."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from conftest import SMALL

Cli = Callable[..., Result]


def small(name: str) -> list[str]:
    return [f"--set={key}={value}" for key, value in SMALL[name].items()]


def test_help_needs_no_torch() -> None:
    run = "main(['--help'], standalone_mode=False)"
    code = f"import sys; from rnn_export.cli.main import main; {run}; print(sorted(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "rnn-export onnx hetero" in printed
    modules = printed.rpartition("[")[2]
    assert not [name for name in ("'torch'", "'onnx'", "'onnxruntime'", "'numpy'", "'rich'") if name in modules]


def test_models(cli: Cli) -> None:
    result = cli("models")
    assert result.exit_code == 0
    assert "hetero four layers of different widths, explicit zero states" in " ".join(result.stdout.split())
    assert "x: float32[T, N, 100]" in result.stdout
    assert "1,026,123" in result.stdout
    rows = json.loads(cli("models", "--json").stdout)
    assert [row["name"] for row in rows] == list(SMALL)
    assert rows[0]["states"] == {"h0": "h_n"}


def test_onnx_says_what_was_shown_in_a_few_lines(cli: Cli) -> None:
    result = cli("onnx", "hetero", *small("hetero"))
    assert result.exit_code == 0, result.output
    first, second, untrained, empty, files, following = result.stdout.splitlines()
    shown = r"model.onnx matches PyTorch: 20 cases, T 1 to 257, N 1 to 257, worst \d+% of its limit; weights identical."
    assert re.fullmatch(shown, first)
    assert re.match(r"\d+ (of \d+ )?further sizes tried", second)
    assert second.endswith(" Ran in onnxruntime:cpu, seed 0.")
    assert untrained == "Note: Untrained, seed 0: give trained weights with --weights."
    assert (empty, files.partition(" ")[0]) == ("", "artifacts/hetero")
    for name in ("README.md", "cases.safetensors", "manifest.json", "model.onnx", "weights.safetensors"):
        assert name in files
        assert Path("artifacts/hetero", name).is_file()
    assert following.startswith("Next: artifacts/hetero/README.md ")
    assert result.stderr == ""


def test_every_case_is_a_row_where_it_is_asked_for(cli: Cli) -> None:
    result = cli("onnx", "--model", "hetero", *small("hetero"), "--cases")
    assert result.exit_code == 0, result.output
    assert result.stdout.count(" PASS") == 20
    assert "\x1b" not in result.stdout


def test_json_is_one_object(cli: Cli) -> None:
    result = cli("onnx", "--model", "single", *small("single"), "--json", "--out", "here")
    data = json.loads(result.stdout)
    assert data["folder"] == "here"
    assert data["report"]["passed"]
    assert len(data["report"]["cases"]) == 20
    assert set(data["files"]) == {
        "README.md",
        "cases.safetensors",
        "manifest.json",
        "model.onnx",
        "weights.safetensors",
    }


def test_quiet_prints_nothing_but_that_weights_are_untrained(cli: Cli) -> None:
    for arguments, said in (
        (
            ["onnx", "--model", "single", *small("single")],
            "Note: Untrained, seed 0: give trained weights with --weights.\n",
        ),
        (["verify", "artifacts/single"], ""),
        (["onnx", "--model", "single", *small("single"), "--weights", "artifacts/single/weights.safetensors"], ""),
    ):
        result = cli(*arguments, "--quiet")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", said)


def test_no_verify_says_so(cli: Cli) -> None:
    result = cli("onnx", "--model", "single", *small("single"), "--no-verify")
    assert "Note: Not verified." in result.stdout
    assert "Verdict" not in result.stdout


def test_torchscript_then_verify_and_inspect_both(cli: Cli) -> None:
    assert cli("onnx", "--model", "initial_state", *small("initial_state"), "--lowering", "native").exit_code == 0
    assert cli("torchscript", "--model", "initial_state", *small("initial_state")).exit_code == 0
    verified = cli("verify", "artifacts/initial_state", "--seed", "5")
    assert verified.exit_code == 0
    assert "Ran in onnxruntime:cpu, seed 5" in verified.stdout
    assert "Ran in torchscript, seed 5" in verified.stdout
    assert "Built the model again and drew fresh cases, seed 5." in verified.stdout
    inspected = cli("inspect", "artifacts/initial_state")
    assert "x: float32[T, N, 3]" in inspected.stdout
    assert "h_n becomes h0" in inspected.stdout
    assert "RNN 2" in inspected.stdout
    data = json.loads(cli("inspect", "artifacts/initial_state", "--json").stdout)
    assert [entry["format"] for entry in data] == ["ONNX, opset 18, IR 8", "TorchScript"]
    assert data[0]["parameters"] == data[1]["parameters"] == 91


def test_a_stateful_export_is_shown_inspected_and_verified(cli: Cli) -> None:
    result = cli("onnx", "--model", "tagger", *small("tagger"), "--stateful", "--cases")
    assert result.exit_code == 0, result.output
    assert "Values         T    N  Fed " in result.stdout
    assert re.search(r"ordinary +7 +5 +whole +logits", result.stdout)
    assert re.search(r"ordinary +7 +5 +one at a time +logits", result.stdout)
    assert re.search(r"ordinary +2000 +1 +one at a time +logits", result.stdout)
    assert "model.onnx matches PyTorch: 50 cases, T 1 to 2000, N 1 to 257, whole and in chunks" in result.stdout
    inspected = cli("inspect", "artifacts/tagger")
    assert "rnn.0.h0: float32[N, 4]" in inspected.stdout
    assert "rnn.1.h_n becomes rnn.1.h0, which begins as 0" in inspected.stdout
    data = json.loads(cli("inspect", "artifacts/tagger", "--json").stdout)
    state = {"output": "rnn.0.h_n", "dtype": "float32", "shape": ["N", 4], "reset": 0}
    assert data[0]["states"]["rnn.0.h0"] == state
    verified = cli("verify", "artifacts/tagger", "--seed", "3")
    assert verified.exit_code == 0
    assert "50 cases" in verified.stdout


def test_states_are_paired_on_the_command_line(cli: Cli) -> None:
    model = ["--model", "torch.nn:LSTM", "--set", "input_size=3", "--set", "hidden_size=4"]
    state = "float32[1, N, 4]"
    inputs = ["--input", "x: float32[T, N, 3]", "--input", f"hx.0: {state}", "--input", f"hx.1: {state}"]
    pairs = ["--state", "hx.0=h_n", "--state", "hx.1 = c_n"]
    refused = cli("onnx", *model, *inputs, "--stateful")
    assert refused.exit_code == 2
    assert "layer 'rnn' starts from 'hx.0', and no output continues it." in refused.stderr
    result = cli("onnx", *model, *inputs, *pairs, "--stateful")
    assert result.exit_code == 0, result.output
    assert "h_n becomes hx.0, which begins as 0" in cli("inspect", "artifacts/LSTM").stdout
    assert cli("verify", "artifacts/LSTM").exit_code == 0


def test_a_users_own_model_with_its_weights(cli: Cli, write: Callable[[str], Path]) -> None:
    path = write(
        """
class Mine(nn.Module):
    def __init__(self, hidden: int = 5):
        super().__init__()
        self.rnn = nn.LSTM(3, hidden, batch_first=True)
    def forward(self, frames, mask):
        output, (h, c) = self.rnn(frames)
        return output * mask[..., None], h

if __name__ == "__main__":
    torch.save({"epoch": 3, "model_state": Mine(6).state_dict()}, "mine.pt")
"""
    )
    subprocess.run([sys.executable, str(path)], check=True)
    arguments = ["--model", "user_model.py:Mine", "--set", "hidden=6", "--weights", "mine.pt"]
    inputs = ["--input", "frames: float32[N, T, 3]", "--input", "mask: float32[N, T]"]
    result = cli("onnx", *arguments, "--weights-key", "model_state", *inputs, "--output", "features, state")
    assert result.exit_code == 0, result.output
    data = json.loads(cli("inspect", "artifacts/Mine", "--json").stdout)
    assert data[0]["outputs"] == {"features": "float32[N, T, 6]", "state": "float32[1, N, 6]"}
    replayed = cli("verify", "artifacts/Mine")
    assert replayed.exit_code == 0
    assert "Replayed the stored cases: building user_model.py:Mine would run its code" in replayed.stdout
    rebuilt = cli("verify", "artifacts/Mine", "--model", "user_model.py:Mine")
    assert rebuilt.exit_code == 0
    assert "Built the model again" in rebuilt.stdout


def test_a_factory_may_have_arguments_called_as_ours(cli: Cli, write: Callable[[str], Path]) -> None:
    write("def make(seed: int, weights: str, model: int):\n    return nn.GRU(3, seed + model)")
    own = ["--set", "seed=1", "--set", "weights=none at all", "--set", "model=4"]
    result = cli("onnx", "--model", "user_model.py:make", *own, "--input", "x: float32[T, N, 3]", "--seed", "7")
    assert result.exit_code == 0, result.output
    assert cli("verify", "artifacts/make", "--model", "user_model.py:make").exit_code == 0


def test_a_package_class_is_built_again(cli: Cli) -> None:
    arguments = ["--model", "torch.nn:GRU", "--set", "input_size=3", "--set", "hidden_size=4"]
    assert cli("onnx", *arguments, "--input", "x: float32[T, N, 3]").exit_code == 0
    assert "Built the model again" in cli("verify", "artifacts/GRU").stdout


@pytest.mark.parametrize("command", ["onnx", "torchscript", "verify", "inspect", "models", "bundle", "triton"])
def test_every_command_explains_itself(cli: Cli, command: str) -> None:
    result = cli(command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout
