"""README.md in a bundle: it says what the manifest says, and its program runs as it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from conftest import SMALL
from msgspec.structs import replace
from planting import write_bundle
from rnn_export import Signature, add_file, load, read_bundle
from rnn_export.bundle.manifest import CASES, WEIGHTS
from rnn_export.bundle.readme import CLIENTS, README, describe
from rnn_export.export import export_onnx, export_torchscript
from torch import Tensor, nn


class Learned(nn.Module):
    """A GRU whose initial state is learned, beside an integer input that may not be zero."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)
        self.h0 = nn.Parameter(torch.tensor([0.5, -1.0, 0.25, 0.0]))

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        output, _ = self.rnn(x, self.h0.expand(1, x.size(1), 4).contiguous())
        return output * index


def run_the_program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    programs = re.findall(r"```python\n(.*?)```", (folder / README).read_text(), flags=re.DOTALL)
    assert programs
    for program in programs:
        exec(compile(program, README, "exec"), {})


def test_it_says_how_the_model_was_proved_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load("tagger", **SMALL["tagger"])
    folder = export_onnx(
        loaded.model, loaded.signature, tmp_path / "tagger", source=loaded.source, stateful=True
    ).folder
    page = (folder / README).read_text()
    assert page.startswith("# tagger\n")
    assert "| `x` | `float32[T, N, 3]` |" in page
    assert "| `logits` | `float32[T*N, 3]` |" in page
    assert "`T*N` is T steps of N sequences each" in page
    assert "| `rnn.0.h0` | `rnn.0.h_n` | `float32[N, 4]` | 0 |" in page
    assert re.search(r"float64 reference: (\d+) PASS of \1 cases; .* (\d+) of \2 tensors equal the model's", page)
    assert "    rnn-export verify BUNDLE\n" in page
    run_the_program(folder, monkeypatch)
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == 2 * ["logits", "rnn.0.h_n", "rnn.1.h_n"]


def test_a_learned_state_and_integers_are_in_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signature = Signature({"x": "float32[T, N, 3]", "index": "int64[T, N, 1] in 2..5"}, outputs=["y"])
    folder = export_onnx(Learned().eval(), signature, tmp_path / "learned", stateful=True, verify=False).folder
    page = (folder / README).read_text()
    assert "It was not verified when it was written." in page
    assert 'np.resize(np.array([0.5, -1, 0.25, 0], "float32"), (1, 5, 4))' in page
    assert '"index": np.resize(np.array([2, 3, 4, 5], "int64"), (7, 5, 1))' in page
    assert "replays the cases in this bundle" in page
    run_the_program(folder, monkeypatch)
    assert "y " in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*torch.jit.load.* is deprecated:DeprecationWarning")
def test_torchscript_has_a_program_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load("single", **SMALL["single"])
    folder = export_torchscript(loaded.model, loaded.signature, tmp_path / "single", source=loaded.source).folder
    page = (folder / README).read_text()
    assert "onnxruntime" not in page
    assert "C++, LibTorch" in page
    run_the_program(folder, monkeypatch)
    assert capsys.readouterr().out.startswith("output ")


def test_a_model_of_ones_own_code_has_to_be_named(
    cli: Callable[..., Result], write: Callable[[str], Path], tmp_path: Path
) -> None:
    write("class Mine(nn.GRU):\n    pass\n")
    options = ("--set", "input_size=3", "--set", "hidden_size=4", "--input", "x: float32[T, N, 3]")
    cli("onnx", "--model", "user_model.py:Mine", *options, "--no-verify", "--out", "mine")
    assert re.search(r"rnn-export verify BUNDLE --model \S*user_model.py:Mine\n", Path("mine", README).read_text())


def test_what_the_bundle_lacks_is_not_promised(tmp_path: Path) -> None:
    loaded = load("single", **SMALL["single"])
    folder = export_onnx(loaded.model, loaded.signature, tmp_path / "b", source=loaded.source, verify=False).folder
    manifest = read_bundle(folder)
    assert "onnxruntime (C++), node, web." in describe(manifest, {"model.onnx", CASES, WEIGHTS}, {"model.onnx": ()})
    bare = describe(replace(manifest, cases=()), {"model.onnx"}, {"model.onnx": ()})
    assert "neither cases nor weights" in bare
    assert "(C++)" not in bare
    assert "safetensors" not in bare


def test_the_clients_named_are_there() -> None:
    root = Path(__file__).parents[2]
    for names in CLIENTS.values():
        for name in names:
            assert (root / "clients" / name.removesuffix(" (C++)") / "README.md").is_file()


def test_a_page_may_be_written_on_or_taken_away(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b", "single")
    page = folder / README
    page.write_text(page.read_text() + "Mine.\n")
    assert read_bundle(folder).name == "single"
    page.unlink()
    assert read_bundle(folder).name == "single"
    add_file(folder, "mine.json", b"{}")
    assert "mine.json" in read_bundle(folder).files
