"""Finding and building models: built-in, from a file, from a package; and everything that can go wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rnn_export import LoadError, SignatureError, load
from rnn_export.pytorch.load import may_be_named
from torch import nn

X = {"x": "float32[T, N, 3]"}


def test_a_built_in_model_brings_its_signature() -> None:
    loaded = load("single", hidden_size=5)
    assert list(loaded.signature.inputs) == ["x"]
    assert loaded.source.kind == "builtin"


def test_the_seed_decides_the_weights() -> None:
    one, same, other = (load("single", seed=seed).model.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["rnn.weight_ih_l0"], other["rnn.weight_ih_l0"])


def test_a_file_may_import_its_neighbours(write: Callable[[str], Path]) -> None:
    path = write("from neighbour import WIDTH\ndef make(width: int = WIDTH): return nn.GRU(3, width)")
    (path.parent / "neighbour.py").write_text("WIDTH = 7\n")
    loaded = load(f"{path}:make", inputs=X)
    assert loaded.model.hidden_size == 7
    assert loaded.source.name == "make"


def test_a_file_may_add_a_folder_and_import_from_it_in_forward(
    write: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "only_in_sources.py").write_text("FACTOR = 2\n")
    path = write(
        f"import sys\nsys.path.insert(0, {str(tmp_path / 'sources')!r})\nclass Late(nn.Module):\n"
        "    def forward(self, x):\n        from only_in_sources import FACTOR\n        return x * FACTOR\n"
    )
    before = list(sys.path)
    loaded = load(f"{path}:Late", inputs=X)
    assert loaded.model(torch.ones(1)) == 2
    assert [entry for entry in sys.path if entry not in before] == [str(tmp_path / "sources")]


def test_a_package_class_is_loaded() -> None:
    assert isinstance(load("torch.nn:GRU", inputs=X, input_size=3, hidden_size=4).model, nn.GRU)


def test_a_model_object_is_taken_as_it_is(write: Callable[[str], Path]) -> None:
    path = write("model = nn.GRU(3, 4)")
    assert isinstance(load(f"{path}:model", inputs=X).model, nn.GRU)
    with pytest.raises(LoadError, match="is a model already and takes no arguments"):
        load(f"{path}:model", inputs=X, width=3)


def test_what_a_model_prints_while_built_does_not_reach_stdout(
    write: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("def make(): print('hello'); return nn.GRU(3, 4)")
    load(f"{path}:make", inputs=X)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("heteero", "There is no built-in model 'heteero'. Did you mean 'hetero'? Choose one of scratch,"),
        ("nowhere.py:Model", "There is no file"),
        ("no_such_package:Model", "There is no module no_such_package. Install the package"),
        ("torch.nn:Gru", "torch.nn has no 'Gru'. Did you mean 'GRU"),
        (":Model", "':Model' names no module. Write file.py:Factory or package.module:Factory."),
        (".x:Model", "'.x:Model' names no module."),
        ("math:pi", "math:pi is a float. Name a class or function that returns an nn.Module."),
        ("math:sqrt", "Building math:sqrt raised TypeError"),
    ],
)
def test_a_model_that_is_not_there(model: str, said: str) -> None:
    with pytest.raises(LoadError) as error:
        load(model, inputs=X)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def make(): return 3", "returned an int. It must return an nn.Module."),
        ("def make(): raise KeyError('width')", "raised KeyError: 'width'. Fix that first."),
        ("def make(): exit(3)", "raised SystemExit: 3."),
        ("import nothing_like_this\ndef make(): ...", "raised ModuleNotFoundError: No module named"),
        ("def make(:", "raised SyntaxError"),
    ],
)
def test_a_factory_that_fails(write: Callable[[str], Path], source: str, said: str) -> None:
    with pytest.raises(LoadError) as error:
        load(f"{write(source)}:make", inputs=X)
    assert said in str(error.value)


def test_a_model_without_a_signature_needs_inputs() -> None:
    with pytest.raises(SignatureError, match=r"its forward takes \(input, hx\). It runs with"):
        load("torch.nn:GRU", input_size=3, hidden_size=4)


def test_inputs_fit_forward() -> None:
    three = dict.fromkeys("abc", "float32[T, N, 3]")
    with pytest.raises(SignatureError, match=r"The 3 inputs \(a, b, c\) do not fit GRU, whose forward takes"):
        load("torch.nn:GRU", inputs=three, input_size=3, hidden_size=4)


def test_only_built_ins_and_module_classes_may_be_named_by_a_manifest(write: Callable[[str], Path]) -> None:
    assert may_be_named("hetero")
    assert may_be_named("torch.nn:GRU")
    assert not may_be_named("os:system")
    assert not may_be_named("no_such_package:Model")
    path = write("open('imported', 'w').close()\nclass Model(nn.Module): ...")
    for name in (f"{path}:Model", "user_model.py:Model", f"{path.with_suffix('')}:Model", "Model", ":Model"):
        assert not may_be_named(name)
    assert not (path.parent / "imported").exists()
