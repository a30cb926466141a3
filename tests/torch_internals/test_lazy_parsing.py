"""What stands for onnxscript's parsed functions during an export says the same, and is gone afterwards."""

from __future__ import annotations

import pytest
from onnxscript.function_libs.torch_lib.ops.core import aten_bitwise_not as function
from onnxscript.values import TracedOnnxFunction
from rnn_export.torch_internals.onnx import parsing_lazily


def test_says_what_the_parsed_function_says() -> None:
    assert isinstance(function, TracedOnnxFunction)
    parsed = function.function_ir
    with parsing_lazily():
        stand_in = function.function_ir
        assert type(stand_in) is not type(parsed)
        assert (stand_in.domain, stand_in.name) == (parsed.domain, parsed.name)


def test_is_restored_after_an_error() -> None:
    before = vars(TracedOnnxFunction)["function_ir"]
    with pytest.raises(KeyError), parsing_lazily():
        raise KeyError
    assert vars(TracedOnnxFunction)["function_ir"] is before
