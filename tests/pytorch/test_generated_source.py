"""Generated Python can be read as any other, and its lines are those of the user's own source."""

from __future__ import annotations

import inspect

import pytest
import scripted_models
import torch
from rnn_export.pytorch.generated_source import import_generated
from rnn_export.pytorch.run import suppress_output
from rnn_export.pytorch.script.build import python_form
from rnn_export.pytorch.source_lines import is_check, is_users, stack_line, user_line
from torch import nn

TEXT = "def f(x):\n    if x < 0:\n        raise ValueError(x)\n    return g(x)\n"
ORIGINS = {2: ("/models/model.py", 12), 3: ("/models/model.py", 12), 4: ("/models/model.py", 14)}


def generated() -> object:
    return import_generated(TEXT, "example", ORIGINS, lambda name: {"__name__": name, "__builtins__": {}})


def test_its_source_is_found_and_the_same_text_is_the_same_module() -> None:
    module = generated()
    assert inspect.getsource(module.f) == TEXT  # type: ignore[attr-defined]
    assert generated() is module
    assert is_users(module.__file__)  # type: ignore[attr-defined]


def test_its_lines_are_the_users() -> None:
    file = generated().__file__  # type: ignore[attr-defined]
    assert stack_line(f'File "{file}", line 4, in f') == "/models/model.py:14"
    with pytest.raises(NameError) as caught:
        generated().f(1)  # type: ignore[attr-defined]
    assert user_line(caught.value) == "/models/model.py:14"
    assert is_check("/models/model.py", 12)
    assert not is_check("/models/model.py", 14)


def test_every_function_of_a_python_form_has_source() -> None:
    with suppress_output():
        python = python_form(torch.jit.script(scripted_models.Objects()))
    source = inspect.getsource(type(python).forward)
    assert source.startswith("    def forward(self, x: Tensor):\n")
    assert inspect.getsource(type(python).helper) not in source


def test_what_it_names_is_no_more_than_it_needs() -> None:
    with suppress_output():
        python = python_form(torch.jit.script(nn.Linear(2, 3)))
    allowed = type(python).forward.__globals__["__builtins__"]
    assert not {"open", "eval", "exec", "compile", "input"} & set(allowed)
