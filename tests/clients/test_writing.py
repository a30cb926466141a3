"""A client in C++ writes the same characters as PyTorch, fed one at a time with the states that it handed back."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rnn_export import read_bundle
from rnn_export.runtimes import open_session

from clients.exported import GREEDY, write_characters_stateful
from clients.programs import program
from examples.char_lm.text import Vocabulary
from examples.char_lm.writing import Feed, write


def fed(folder: Path, runtime: str) -> Feed:
    """The bundle of the character model in a runtime, its states carried as the manifest says."""
    manifest = read_bundle(folder)
    stream = manifest.artifacts["model.onnx"].stream
    assert stream is not None
    session = open_session(runtime, folder / "model.onnx", manifest.signature.outputs)
    states = {state.name: state.initial({"N": 1}) for state in stream.states}

    def feed(tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        outputs = session.run({"tokens": tokens[None], **states})
        states.update({state.name: outputs[state.output] for state in stream.states})
        last: NDArray[np.float32] = outputs["logits"][-1]
        return last

    return feed


def test_greedy_text_is_that_of_pytorch(onnx_client: str, tmp_path: Path) -> None:
    write_characters_stateful(tmp_path / "b")
    expected = json.loads((tmp_path / "b" / GREEDY).read_text())
    vocabulary = Vocabulary(json.loads((tmp_path / "b" / "vocabulary.json").read_text())["characters"])
    feed = fed(tmp_path / "b", f"program:{program(onnx_client)}")
    written = write(feed, vocabulary, expected["prompt"], temperature=0, random=np.random.default_rng(0))
    assert "".join(islice(written, len(expected["written"]))) == expected["written"]
