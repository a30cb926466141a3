"""The Python API takes what people write, answers what it cannot take in a sentence, and shows itself briefly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import rnn_export
import torch
from rnn_export import InputError, Signature, export_onnx, load, read_bundle, to_onnx, verify
from torch import nn

X = "x: float32[T, N, 3]"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gru() -> nn.Module:
    torch.manual_seed(0)
    return nn.GRU(3, 4)


@pytest.mark.parametrize("given", [X, [X], {"x": "float32[T, N, 3]"}, {"x": "torch.float[T, N, 3]"}])
def test_a_signature_is_made_of_texts(given: Any, gru: nn.Module) -> None:
    assert Signature(given) == Signature({"x": "float32[T, N, 3]"})
    assert export_onnx(gru, given, verify=False).model.is_file()


def test_outputs_and_states_are_texts_too() -> None:
    assert Signature(X, outputs="logits").outputs == ("logits",)
    assert Signature(X, outputs="a, b").outputs == ("a", "b")
    assert Signature([X, "h0: float32[1, N, 4]"], "y,h_n", "h0=h_n").states == {"h0": "h_n"}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Signature(3), "`inputs` is of type int. Give texts, such as 'x: float32[T, N, 100]'."),
        (lambda: Signature({"x": ("T", "N", 3)}), "Input 'x' is described by a tuple; write it like"),
        (lambda: export_onnx(nn.GRU, X), "GRU is a class. Give a model of it, such as GRU(...)."),
        (lambda: export_onnx(nn.GRU(3, 4).state_dict(), X), "A state dict is given in place of a model."),
        (lambda: export_onnx(3, X), "The model is an int. Give an nn.Module"),
        (lambda: export_onnx(nn.GRU(3, 4), X, 3), "`out` is an int. Give the path of a folder."),
        (lambda: export_onnx(nn.GRU(3, 4), X, opset="18"), "`opset` is '18', of type str. Give a whole number."),
        (lambda: export_onnx(nn.GRU(3, 4), X, target="gpu"), "There is no target 'gpu'. Did you mean 'cuda'?"),
        (lambda: export_onnx(nn.GRU(3, 4), X, accept="unverified"), "Give a list, such as ['unverified']."),
        (lambda: read_bundle("absent"), "absent is not a bundle"),
    ],
)
def test_what_it_cannot_take_is_said_in_a_sentence(call: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError) as error:
        call()
    assert said in str(error.value)


def test_a_model_may_be_named_by_where_it_is(folder: Path) -> None:
    (folder / "mine.py").write_text("from torch import nn\ndef make(): return nn.GRU(3, 4)\n")
    exported = export_onnx("mine.py:make", X)
    assert exported.folder == Path("artifacts/make")
    assert verify(exported.folder, model="mine.py:make").how == "rebuilt"


def test_an_export_runs_what_it_wrote(gru: nn.Module) -> None:
    exported = export_onnx(gru, X, "out")
    assert exported.model == Path("out/model.onnx")
    x = torch.randn(5, 2, 3)
    outputs = exported.run(x=x)
    assert sorted(outputs) == ["h_n", "output"]
    np.testing.assert_allclose(outputs["output"], gru(x)[0].detach().numpy(), atol=1e-5)
    for wrong, said in (
        ({"y": x}, "There is no input 'y'. model.onnx takes x."),
        ({}, "The input 'x' is missing: float32[T, N, 3]."),
        ({"x": x.double()}, "Input 'x' is float64[5, 2, 3], not float32[T, N, 3]."),
    ):
        with pytest.raises(InputError) as error:
            exported.run(**wrong)
        assert said in str(error.value)


def test_states_that_are_not_given_begin_as_they_are_reset(gru: nn.Module) -> None:
    exported = export_onnx(gru, X, "out", stateful=True, verify=False)
    x = torch.randn(6, 2, 3)
    first = exported.run(x=x[:4])
    second = exported.run({"rnn.h0": first["rnn.h_n"]}, x=x[4:])
    np.testing.assert_allclose(second["output"], gru(x)[0][4:].detach().numpy(), atol=1e-5)


def test_a_model_without_a_folder(gru: nn.Module, folder: Path) -> None:
    model = to_onnx(gru, X, opset=20)
    assert isinstance(model, onnx.ModelProto)
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 20
    assert not list(folder.iterdir())


def test_one_tensor_is_an_example(gru: nn.Module) -> None:
    assert export_onnx(gru, X, "out", example=torch.randn(5, 2, 3)).report is not None


def test_what_is_shown_is_short(gru: nn.Module) -> None:
    exported = export_onnx(gru, X, "out")
    assert repr(exported) == "<Exported: out/model.onnx, PASS>"
    assert repr(exported.report).startswith("<Report: model.onnx matches PyTorch, 20 cases (1 excused), T 1 to")
    assert (
        repr(read_bundle("out"))
        == "<Manifest: GRU, model.onnx, Signature({'x': 'float32[T, N, 3]'}, outputs=['output', 'h_n'])>"
    )
    assert repr(verify("out")).startswith("<Verification: PASS, replayed, <Report: model.onnx matches PyTorch")
    assert repr(load("hetero")).startswith("<Loaded: HeteroRNN, 1,026,123 parameters, Signature({'x'")
    html = exported._repr_html_()
    assert "matches PyTorch" in html
    assert html.count("<tr>") == 21


def test_the_package_lists_what_it_has() -> None:
    assert dir(rnn_export) == sorted(rnn_export.__all__)
    assert {"export_onnx", "to_onnx", "verify", "Signature", "Stream"} <= set(dir(rnn_export))
