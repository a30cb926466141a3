"""Bad input through the entry point: one sentence on stderr, exit code 2, nothing written, the old bundle kept."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from rnn_export import export_onnx, load
from torch import nn

Cli = Callable[..., Result]
EXPORT = ("onnx", "--model", "single", "--set", "hidden_size=4", "--set", "input_size=3")

SOURCE = """
class Gru(nn.Module):
    def __init__(self, hidden: int = 4):
        super().__init__()
        self.rnn = nn.GRU(3, hidden)
    def forward(self, x):
        return self.rnn(x)[0]

class Text(Gru):
    def forward(self, x):
        return {"y": x, "name": "text"}

class Raises(Gru):
    def forward(self, x):
        raise ValueError("no")

class Forked(Gru):
    def forward(self, x):
        return x + 1 if x.size(0) == 1 else x * 2

class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, bidirectional=True)
    def forward(self, x):
        return self.rnn(x)[0]

class Mean(Gru):
    def forward(self, x):
        return self.rnn(x)[0].mean(0)

def fails(): raise OSError("no disk")
def number(): return 3
"""

X = ("--input", "x: float32[T, N, 3]")


def mine(factory: str, *more: str) -> tuple[str, ...]:
    return ("onnx", "--model", f"user_model.py:{factory}", *(more or X))


CASES = [
    (("onnx", "--model", "hetro"), "There is no built-in model 'hetro'. Did you mean 'hetero'?"),
    ((*EXPORT, "--target", "gpu"), "There is no target 'gpu'. Did you mean 'cuda'?"),
    ((*EXPORT, "--precision", "int8"), "int8 is for weights alone: --quantize int8."),
    (("onnx", "user_model.py"), "Name the class or function in it that makes the model too, as user_model.py:NAME."),
    ((*EXPORT, "--weights", "user_model.py"), "user_model.py is not a PyTorch checkpoint."),
    (("onnx",), "No model is given. Name a built-in variant, such as hetero"),
    (("onnx", "single", "--model", "deep"), "Two models are given: 'single' and --model deep. Leave one out."),
    (("onnx", "single", "--cases", "file.py:make"), "--cases takes nothing: it shows a row per case. A function"),
    (("onix",), "No such command 'onix'"),
    (("export", "--model", "single"), "No such command 'export'. Did you mean 'onnx' or 'torchscript'?"),
    (("check", "artifacts/single"), "No such command 'check'. Did you mean 'verify'?"),
    (("onnx", "--model", "absent.py:Model", *X), "There is no file"),
    (mine("Grv"), "user_model.py has no 'Grv'. Did you mean 'Gru'?"),
    (mine("fails"), "raised OSError: no disk. Fix that first; --debug shows where."),
    (mine("number"), "user_model.py:number returned an int. It must return an nn.Module."),
    (("onnx", "--model", "single", "--set", "hiden_size=3"), "no argument 'hiden_size'. Did you mean 'hidden_size'?"),
    (("onnx", "--model", "single", "--set", "hidden_size=big"), "'big' does not fit. It must be a whole number."),
    (("onnx", "--model", "single", "--set", "cell=gnu"), "cell='gnu' does not fit. It must be one of rnn_tanh,"),
    (("onnx", "--model", "single", "--set", "hidden_size=0"), "hidden_size must be greater than zero"),
    (("onnx", "--model", "single", "--set", "hidden_size"), "'hidden_size' is not a setting. Write it as key=value"),
    ((*EXPORT, "--weights", "absent.pt"), "There is no file absent.pt"),
    ((*EXPORT, "--weights-key", "a"), "A key names an entry of a checkpoint. Give the checkpoint too, as --weights P"),
    ((*EXPORT, "--weights", "misfit.pt"), "misshaped rnn.weight_ih_l0 [5, 3] instead of [4, 3]"),
    ((*EXPORT, "--weights", "evil.pt"), "holds pickled Python objects, which could run code and are not read."),
    ((*EXPORT, "--weights", "text.pt"), "text.pt is not a PyTorch checkpoint"),
    ((*EXPORT, "--weights", "text.safetensors"), "text.safetensors is not a safetensors file"),
    (mine("Gru", "--input", "x: float32[T, N"), "does not describe a tensor; write it like 'x: float32[T, N, 100]'"),
    (mine("Gru", "--input", "x: float31[T, N, 3]"), "Unknown dtype 'float31'."),
    (mine("Gru", "--input", "float32[T, N, 3]"), "does not describe an input"),
    (mine("Gru", *X, *X), "The input 'x' is described twice."),
    (mine("Gru", *X, "--input", "y: float32[T]"), "The 2 inputs (x, y) do not fit Gru, whose forward takes (x). Name"),
    (mine("Gru", "--input", "x: float32[T, N, 4]"), "forward raised RuntimeError at user_model.py:10 for x [7, 5, 4]"),
    (mine("Gru", "--no-verify"), "its forward takes (x). It runs with --input 'x: float32[T, N, 3]'; give that if it"),
    (mine("Gru", *X, "--output", "a,b"), "2 output names (a, b) were given for 1 outputs."),
    (mine("Gru", *X, "--output", "x"), "The name 'x' is used twice."),
    (mine("Text"), "The model returns a str at ['name']. Return a tensor, or a tuple, list or dictionary of tensors."),
    (mine("Raises"), "forward raised ValueError at user_model.py:18 for x [7, 5, 3]: no."),
    (mine("Both", "--stateful", *X), "The model cannot stream: layer 'rnn' is bidirectional or reversed, so it starts"),
    (mine("Mean", "--stateful", *X), "The model cannot stream: ReduceMean at user_model.py:"),
    (mine("Gru", "--stateful", "--input", "x: float32[9, N, 3]"), "Name the time dimension in the input, such as T"),
    (mine("Gru", *X, "--state", "h0"), "'h0' does not pair a state. Write it as input=output, such as h0=h_n."),
    (mine("Gru", *X, "--state", "h0=h_n"), "The state 'h0' is not an input. Inputs are x."),
    (mine("Gru", *X, "--state", "x=h_n"), "The state 'h_n' is not an output. Outputs are output."),
    ((*EXPORT, "--tune", "T=1,N=1,T=2"), "'T=1,N=1,T=2' gives T twice. Give every dimension one size."),
    ((*EXPORT, "--tune", "T=100000000000000,N=1"), "not enough memory for T=100000000000000,N=1. Give smaller"),
    ((*EXPORT, "--tune", "T=10000000000,N=1000000000000"), "Give smaller sizes in tune."),
    ((*EXPORT, "--max-error", "0.1"), "--max-error bounds what reduced-precision weights cost, and there are n"),
    ((*EXPORT, "--opset", "16"), "Opset 16 is not supported. Use one from 17 to 28; 18 is the default."),
    ((*EXPORT, "--opset", "new"), "'new' is not a valid integer"),
    ((*EXPORT, "--out", "text.pt"), "is a file. Choose a folder."),
    ((*EXPORT, "--out", "text.pt/below"), "text.pt/below cannot be written (File exists). Choose another folder"),
    ((*EXPORT, "--out", "."), "is the working folder, which would be replaced."),
    ((*EXPORT, "--out", "notes"), "holds something other than a bundle, which is left alone."),
    ((*EXPORT, "--seed", "-1"), "-1 is not in the range 0<=x<=4294967295"),
    (("verify", "artifacts/single", "--seed", "99999999999"), "99999999999 is not in the range"),
    (("torchscript", "--model", "single", "--method", "guess"), "There is no method 'guess'. Choose from auto,"),
    (("verify", "absent"), "absent is not a bundle: it has no manifest.json."),
    (("verify", "text.pt"), "text.pt is not a bundle"),
    (("verify", "artifacts/single", "--case", "notes"), "The case notes is a folder. Give the file that verify named"),
    (("verify", "artifacts/single", "--case", "absent"), "The case absent does not exist. Give the file that verify"),
    (("latency", "artifacts/single", "--sizes", "N=1,N=2"), "'N=1,N=2' gives N twice."),
    (("inspect", "absent.onnx"), "There is no file absent.onnx."),
    (("inspect", "text.onnx"), "text.onnx is not an ONNX model"),
    (("inspect", "empty.onnx"), "empty.onnx is not an ONNX model"),
    (("inspect", "text.pt"), "text.pt is not a TorchScript file"),
    (("inspect", "user_model.py"), "user_model.py is not a model file."),
    (("inspect", "."), "is not a bundle"),
]  # fmt: skip


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch evil_ran",)


@pytest.fixture(scope="session")
def good_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    loaded = load("single", hidden_size=4, input_size=3)
    out = tmp_path_factory.mktemp("good") / "single"
    return export_onnx(loaded.model, loaded.signature, out, source=loaded.source).folder


@pytest.fixture
def folder(good_bundle: Path, write: Callable[[str], Path]) -> Path:
    """A working folder with a good bundle and everything that the cases name."""
    path = write(SOURCE).parent
    torch.save({"w": Evil()}, path / "evil.pt")
    torch.save({f"rnn.{name}": value for name, value in nn.RNN(3, 5).state_dict().items()}, path / "misfit.pt")
    for name in ("text.pt", "text.onnx", "text.safetensors"):
        (path / name).write_text("this is not a model")
    (path / "empty.onnx").write_bytes(b"")
    (path / "notes").mkdir()
    (path / "notes" / "todo.txt").write_text("a note")
    shutil.copytree(good_bundle, path / "artifacts" / "single")
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and "__pycache__" not in str(path)
    }


@pytest.mark.parametrize(("arguments", "said"), CASES, ids=[said[:40] for _, said in CASES])
def test_bad_input(cli: Cli, folder: Path, arguments: tuple[str, ...], said: str) -> None:
    before = snapshot(folder)
    result = cli(*arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert snapshot(folder) == before


def test_a_parity_failure_exits_1_and_keeps_the_old_bundle(cli: Cli, folder: Path) -> None:
    assert cli(*mine("Gru"), "--out", "kept").exit_code == 0
    before = snapshot(folder)
    result = cli(*mine("Forked"), "--out", "kept")
    assert result.exit_code == 1
    assert "output 'output' is off by" in result.stderr
    assert "in case ordinary-T1-N1. The first difference is at time step 0." in result.stderr
    assert snapshot(folder) == before


def test_json_carries_the_error_and_the_report(cli: Cli, folder: Path) -> None:
    data = json.loads(cli(*mine("Forked"), "--json").stdout)
    assert data["exit_code"] == 1
    assert not data["report"]["passed"]
    assert json.loads(cli("onnx", "--model", "hetro", "--json").stdout)["exit_code"] == 2


def test_debug_shows_where(cli: Cli, folder: Path) -> None:
    result = cli(*mine("fails"), "--debug")
    assert result.exit_code == 2
    assert 'raise OSError("no disk")' in result.stderr


def test_an_unwritable_folder(cli: Cli, folder: Path) -> None:
    if os.geteuid() == 0:
        target = "/proc/nowhere"
    else:
        (folder / "locked").mkdir()
        (folder / "locked").chmod(stat.S_IRUSR | stat.S_IXUSR)
        target = "locked/bundle"
    result = cli(*EXPORT, "--out", target)
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_a_tampered_bundle(cli: Cli, folder: Path) -> None:
    path = folder / "artifacts" / "single" / "model.onnx"
    path.write_bytes(path.read_bytes() + b"\\0")
    result = cli("verify", "artifacts/single")
    assert result.exit_code == 2
    assert "model.onnx is not as it was written (its sha256 differs). Export the model again." in result.stderr


def test_an_interrupt_is_neither_success_nor_parity(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    before = snapshot(folder)
    monkeypatch.setattr("rnn_export.lowering.lower.optimize", interrupted)
    result = cli(*EXPORT)
    assert result.exit_code == 130
    assert result.stderr == "Interrupted; nothing was written.\n"
    assert snapshot(folder) == before


def test_a_fault_of_our_own_is_said_to_be_one(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise TypeError("broken")

    monkeypatch.setattr("rnn_export.lowering.lower.optimize", broken)
    result = cli(*EXPORT)
    assert result.exit_code == 2
    assert result.stderr == "Bug: TypeError: broken. This is a bug in rnn-export; please report it.\n"
