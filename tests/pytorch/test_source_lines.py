"""The line of the user's source: from an error, from what it was raised from, from a captured node."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rnn_export.pytorch.source_lines import at, node_line, user_line
from torch import nn


@pytest.fixture
def model(write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    path = write(
        "class Model(nn.Module):\n"
        "    def forward(self, x):\n"
        "        y = torch.tanh(x)\n"
        "        return torch.cat([y, y[:, :1]], 0)\n"
    )
    monkeypatch.chdir(path.parent)
    spec = importlib.util.spec_from_file_location("user_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Model()


def raised(call: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call()
    return caught.value


def without_this_file(error: BaseException) -> BaseException:
    """As it is where our own code catches it: the traceback begins there."""
    return error.with_traceback(error.__traceback__.tb_next.tb_next if error.__traceback__ else None)


def test_an_error_in_forward_is_at_its_line_relative_to_the_working_directory(model: Any) -> None:
    assert user_line(raised(lambda: model(torch.ones(2, 3)))) == "user_model.py:7"


def test_outside_the_working_directory_the_path_is_whole(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path.cwd()
    monkeypatch.chdir("/")
    error = raised(lambda: model(torch.ones(2, 3)))
    assert user_line(error) in (f"{folder}/user_model.py:7", f"{folder.relative_to('/')}/user_model.py:7")


def test_what_it_was_raised_from_is_asked(model: Any) -> None:
    cause = raised(lambda: model(torch.ones(2, 3)))
    error = ValueError("later")
    error.__cause__ = cause
    assert user_line(error) == "user_model.py:7"


def test_an_error_of_pytorchs_own_has_no_line() -> None:
    error = raised(lambda: nn.GRU(3, 4)(torch.ones(5, 2, 7)))
    assert user_line(without_this_file(error)) == ""
    assert user_line(ValueError("never raised")) == ""


def test_a_captured_node_is_at_its_line(model: Any) -> None:
    program = torch.export.export(model, (torch.ones(2, 1),), strict=False)
    lines = {str(node.target): node_line(node) for node in program.graph.nodes}
    assert lines["aten.tanh.default"] == "user_model.py:6"
    assert lines["aten.cat.default"] == "user_model.py:7"
    assert lines["x"] == ""


def test_a_layer_that_is_the_whole_model_has_no_line() -> None:
    program = torch.export.export(nn.Linear(3, 4), (torch.ones(2, 3),), strict=False)
    assert {node_line(node) for node in program.graph.nodes} == {""}


def test_it_goes_into_a_sentence() -> None:
    assert f"It failed{at('model.py:3')}." == "It failed at model.py:3."
    assert f"It failed{at('')}." == "It failed."
