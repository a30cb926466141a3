"""Options of an export: as an object or field by field, and what does not fit together."""

from __future__ import annotations

from typing import Any

import pytest
from rnn_export import InputError, OnnxOptions, TorchScriptOptions
from rnn_export.spec.options import options_of


def test_fields_by_name_make_the_object() -> None:
    assert options_of(OnnxOptions, None, {"stateful": True, "opset": 20}) == OnnxOptions(stateful=True, opset=20)
    assert options_of(OnnxOptions, None, {}) == OnnxOptions()
    given = OnnxOptions(seed=3)
    assert options_of(OnnxOptions, given, {}) is given


@pytest.mark.parametrize(
    ("given", "named", "message"),
    [
        (
            None,
            {"statefull": True},
            "There is no option 'statefull'. Did you mean 'stateful'? Choose from verify, opset",
        ),
        (None, {"zzz": 1}, "There is no option 'zzz'. Choose from verify, opset, stateful, quantize"),
        (OnnxOptions(), {"opset": 20}, "Options are given as an object and by name (opset). Give one or the other."),
    ],
)
def test_what_is_not_an_option(given: OnnxOptions | None, named: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        options_of(OnnxOptions, given, named)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("kind", "named", "message"),
    [
        (OnnxOptions, {"quantize": "int8", "precision": "float16"}, "Weights cannot be int8 and float16 at once."),
        (OnnxOptions, {"quantize": "int4"}, "There is no quantization 'int4'."),
        (
            OnnxOptions,
            {"max_error": 0.1},
            "`max_error` bounds what reduced-precision weights cost, and there are none.",
        ),
        (TorchScriptOptions, {"precision": "bfloat16"}, "ONNX Runtime has no RNN, GRU or LSTM with bfloat16"),
        (TorchScriptOptions, {"precision": "float16", "max_error": -1.0}, "A largest error of -1.0 cannot be used."),
    ],
)
def test_options_that_contradict_are_refused_where_they_are_made(
    kind: type, named: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as refused:
        kind(**named)
    assert str(refused.value).startswith(message)


def test_the_precision_of_weights() -> None:
    assert OnnxOptions().weights_precision() is None
    int8, half = OnnxOptions(quantize="int8"), TorchScriptOptions(precision="float16", max_error=0.5)
    assert [(each.weights, each.bound) for each in (int8.weights_precision(), half.weights_precision()) if each] == [
        ("int8", 0.09),
        ("float16", 0.5),
    ]
