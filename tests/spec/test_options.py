"""Options given in Python are checked as those of the command line are, and a word that is nearly right is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rnn_export import InputError, OnnxOptions, Signature, TorchScriptOptions, export_onnx, load, read_bundle
from torch import nn


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"lowering": "scn"},
            "There is no lowering 'scn'. Did you mean 'scan'? Choose from auto, native, scan, contrib",
        ),
        ({"lowering": None}, "There is no lowering None. Choose from"),
        ({"lowering": ["scan"]}, "There is no lowering ['scan']."),
        ({"target": "gpu"}, "There is no target 'gpu'."),
        ({"target": "cud"}, "Did you mean 'cuda'?"),
        ({"opset": "18"}, "`opset` is '18', of type str. Give a whole number."),
        ({"opset": 18.0}, "`opset` is 18.0, of type float. Give a whole number."),
        ({"opset": True}, "`opset` is True, of type bool."),
        ({"seed": "1"}, "`seed` is '1', of type str. Give a whole number."),
        ({"seed": None}, "`seed` is None, of type NoneType."),
        ({"seed": 0.5}, "`seed` is 0.5, of type float."),
        ({"seed": -1}, "The seed -1 cannot be used. Give a number from 0 to 4294967295."),
        ({"seed": 2**32}, "The seed 4294967296 cannot be used."),
        ({"verify": "no"}, "`verify` is 'no', of type str. Give True or False."),
        ({"stateful": 1}, "`stateful` is 1, of type int. Give True or False."),
        ({"metadata": "a=b"}, "`metadata` is of type str. Give texts by name"),
        ({"metadata": {"a": 4}}, "The metadata 'a' is 4. Give a text for a text"),
        ({"metadata": {"rnn_export.time": "T"}}, "The metadata 'rnn_export.time' is written by rnn_export itself."),
        ({"metadata": {"a": "\x1b[31m"}}, "The metadata 'a' has control characters."),
        ({"metadata": {" a": "b"}}, "' a' is no key of metadata."),
        ({"state_names": "h{layer}"}, "`state_names` names the states that `stateful=True` finds. Give both."),
        ({"state_names": "h{layr}", "stateful": True}, "no field 'layr' to fill in. Did you mean 'layer'?"),
        ({"state_names": "h{layer.__class__}", "stateful": True}, "no field 'layer.__class__' to fill in."),
        ({"state_names": "h{layer!r}", "stateful": True}, "no field 'layer' to fill in."),
        ({"state_names": "h{", "stateful": True}, "have a stray brace"),
        ({"quantize": 8}, "There is no quantization '8'. Choose from int8."),
        ({"quantize": "int"}, "Did you mean 'int8'?"),
        ({"precision": 16}, "There is no precision '16'. Choose from float16."),
        ({"quantize": "int8", "max_error": "0.1"}, "`max_error` is '0.1', of type str. Give a number."),
        ({"quantize": "int8", "max_error": True}, "`max_error` is True, of type bool. Give a number."),
    ],
)
def test_a_value_that_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        OnnxOptions(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "scipt"}, "There is no method 'scipt'. Did you mean 'script'? Choose from auto, script, trace."),
        ({"method": True}, "There is no method True."),
        ({"seed": "0"}, "`seed` is '0', of type str."),
        ({"verify": None}, "`verify` is None"),
    ],
)
def test_a_value_that_cannot_be_of_torchscript(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        TorchScriptOptions(**given)


def test_by_name_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'scan'"):
        export_onnx(nn.GRU(2, 2), Signature({"x": "float32[T, N, 2]"}), tmp_path / "out", lowering="scn")


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    options = OnnxOptions(opset=np.int64(18), seed=np.uint32(7), quantize="int8", max_error=np.float32(0.5))  # type: ignore[arg-type]
    export_onnx(nn.GRU(2, 2), Signature({"x": "float32[T, N, 2]"}), tmp_path / "out", options)
    (artifact,) = read_bundle(tmp_path / "out").artifacts.values()
    assert (artifact.opset, artifact.parity["seed"], artifact.precision.bound) == (18, 7, 0.5)


@pytest.mark.parametrize("seed", ["0", 0.5, None])
def test_the_seed_of_a_model_is_a_number(seed: Any) -> None:
    with pytest.raises(InputError, match="`seed` is"):
        load("tagger", seed=seed)
