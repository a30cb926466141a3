"""What the comparison of a pipeline sees: files that compute something else, states that are lost, and ties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rnn_export import InputError, ParityError, Text, export_pipeline
from rnn_export.stream.pipeline import Files

from pipelines.models import TRANSDUCER, TRANSLATION, WIRING, RnnTransducer, Translator

Run = Callable[[str, dict[str, np.ndarray]], None]
REAL = Files.run


def spoil(monkeypatch: pytest.MonkeyPatch, graph: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change what the file of a graph puts out."""

    def run(self: Files, name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        outputs = REAL(self, name, inputs)
        if name == graph:
            outputs = {each: value.copy() for each, value in outputs.items()}
            change(outputs)
        return outputs

    monkeypatch.setattr(Files, "run", run)


def translate(tmp_path: Path, model: Translator) -> Any:
    return export_pipeline(
        model.parts(), Text(end=2, limit=30), tmp_path / "mt", logits="step.logits", wiring=TRANSLATION, start=1
    )


@pytest.mark.parametrize(
    ("graph", "change"),
    [
        ("step", lambda outputs: outputs["logits"].__imul__(1.0001)),
        ("step", lambda outputs: outputs["h_n"].__imul__(0)),
        ("encoder", lambda outputs: outputs["memory"].__setitem__((0, 0, 0), 0)),
        ("step", lambda outputs: outputs["logits"].__setitem__((0, 3), np.nan)),
    ],
)
def test_a_file_that_computes_something_else(
    graph: str, change: Callable[[dict[str, Any]], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, graph, change)
    with pytest.raises(ParityError, match="The pipeline does not decode as PyTorch does: for greedy tokens, "):
        translate(tmp_path, Translator().eval())
    assert not (tmp_path / "mt").exists()


def test_what_only_random_tokens_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says blank alone, so that greedy decoding never feeds a token."""
    model = RnnTransducer().eval()
    model.joiner.out.bias.data[0] += 100
    arguments = {"logits": "joiner.logits", "wiring": WIRING}
    exported = export_pipeline(model.parts(), TRANSDUCER, tmp_path / "right", **arguments)
    assert exported.checked is not None
    assert exported.checked.tokens == 0
    assert any("No token was emitted greedily" in note for note in exported.notes)
    spoil(monkeypatch, "predictor", lambda outputs: outputs["c_n"].__imul__(0))
    with pytest.raises(ParityError, match="for random tokens"):
        export_pipeline(model.parts(), TRANSDUCER, tmp_path / "wrong", **arguments)


def test_ties_are_counted_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tokens are the same to the model, and the file adds to one what rounding could."""
    model = Translator().eval()
    model.out.weight.data[5] = model.out.weight.data[4]
    model.out.bias.data[4:6] = 20
    spoil(monkeypatch, "step", lambda outputs: outputs["logits"].__setitem__((0, 5), outputs["logits"][0, 5] + 4e-6))
    exported = translate(tmp_path, model)
    assert exported.checked.ties > 0
    assert any("choices are ties" in note for note in exported.notes)


def test_inputs_that_pytorch_refuses_are_no_evidence(tmp_path: Path) -> None:
    model = Translator().eval()

    def make(sizes: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
        return {"x": np.zeros((1, sizes["S"], 5), "float32")}

    parts = model.parts()
    wiring = {**TRANSLATION, "step.memory": "inputs.memory"}
    with pytest.raises(InputError, match=r"PyTorch runs the pipeline for \d of 8 inputs|made no 'memory'"):
        export_pipeline(
            parts, Text(end=2, limit=30), tmp_path / "mt", logits="step.logits", wiring=wiring, start=1, cases=make
        )
