"""A real model with its real weights: Resemblyzer's pretrained speaker encoder, as its package ships it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

# The package is installed without what it needs to read sound; its encoder does not need it.
FACTORY = """
import importlib.util, sys, types

package = importlib.util.module_from_spec(importlib.util.find_spec("resemblyzer"))
package.audio = types.ModuleType("resemblyzer.audio")
sys.modules |= {"resemblyzer": package, "resemblyzer.audio": package.audio}
from resemblyzer.voice_encoder import VoiceEncoder

def encoder():
    return VoiceEncoder("cpu")
"""


def test_the_speaker_encoder_exports_and_passes(cli: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "speaker.py").write_text(FACTORY)
    model = ["--model", "speaker.py:encoder", "--input", "mels: float32[N, T, 40]", "--output", "embedding"]
    for command in ("onnx", "torchscript"):
        result = cli(command, *model)
        assert result.exit_code == 0, result.output
    data = json.loads(cli("inspect", "artifacts/encoder", "--json").stdout)
    assert data[0]["operators"]["LSTM"] == 3
    assert data[0]["parameters"] == 1_423_616
    assert data[0]["outputs"] == {"embedding": "float32[N, 256]"}
    assert sum(data[0]["operators"].values()) <= 12
    assert cli("verify", "artifacts/encoder", "--model", "speaker.py:encoder").exit_code == 0
