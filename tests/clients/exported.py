"""`python -m clients.exported FOLDER` writes bundles for clients: every kind of input, output, state and dtype."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from conftest import SMALL
from planting import plant, write_bundle, wrong_bias
from rnn_export import Signature, add_file, export_onnx, load
from torch import Tensor, nn

from examples.char_lm.__main__ import build
from examples.char_lm.text import VOCABULARY, Batches, Vocabulary
from examples.char_lm.training import train_epoch
from examples.char_lm.writing import Feed, eager, write

# Learnt by heart in seconds; some of its characters are of two bytes in UTF-8, one is a pair in UTF-16.
PASSAGE = (
    "A recurrent model reads one step at a time. What it has read so far lies in its state — a few numbers — and "
    "the next step begins where the last one ended; “déjà vu”, it may say. 🙂 Then it goes on from the start.\n"
)
GREEDY = "greedy.json"


class Tags(nn.Module):
    """Integers and booleans come out."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.fc(self.rnn(x)[0])
        return logits.argmax(-1), logits[..., 0] > 0


class Learned(nn.Module):
    """The first state is a parameter, the same for every sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.h0 = nn.Parameter(torch.randn(1, 1, 4))
        self.rnn = nn.GRU(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.rnn(x, self.h0.expand(1, x.size(1), 4).contiguous())[0]
        return output


def write_hetero(folder: Path) -> None:
    """The one that is proved, so that its manifest tells how."""
    loaded = load("hetero", **SMALL["hetero"], seed=3)
    export_onnx(loaded.model, loaded.signature, folder, source=loaded.source)


def write_lstm(folder: Path) -> None:
    write_bundle(folder, "single", settings={"cell": "lstm"}, target="webgpu")


def write_scratch(folder: Path) -> None:
    write_bundle(folder, "scratch")


def write_initial_state(folder: Path) -> None:
    write_bundle(folder, "initial_state")


def write_int8(folder: Path) -> None:
    write_bundle(folder, "classifier", settings={"cell": "lstm"}, quantize="int8")


def write_tags(folder: Path) -> None:
    _export(Tags(), {"x": "float32[T, N, 3]"}, ["tags", "positive"], folder)


def write_half(folder: Path) -> None:
    _export(nn.RNN(3, 4).half(), {"x": "float16[T, N, 3]"}, ["output", "h_n"], folder)


def write_double(folder: Path) -> None:
    _export(nn.GRU(3, 4).double(), {"x": "float64[T, N, 3]"}, ["output", "h_n"], folder)


def write_learned_stateful(folder: Path) -> None:
    _export(Learned(), {"x": "float32[T, N, 3]"}, ["output"], folder, stateful=True)


def write_tagger_stateful(folder: Path) -> None:
    """Rows of its output: the steps, and in each the sequences."""
    write_bundle(folder, "tagger", settings={"cell": "lstm"}, stateful=True)


def write_batch_first_stateful(folder: Path) -> None:
    """Rows of its output: the sequences, and in each the steps."""
    write_bundle(folder, "tagger", settings={"batch_first": True}, stateful=True)


def write_scratch_stateful(folder: Path) -> None:
    """Its state is an input that the stored cases hold."""
    write_bundle(folder, "scratch", stateful=True)


def write_characters_stateful(folder: Path) -> None:
    """It knows a passage by heart; `greedy.json` in the bundle is how PyTorch goes on from a prompt."""
    vocabulary = Vocabulary.of(PASSAGE)
    loaded = build("scratch", len(vocabulary), 48, seed=0)
    learn(loaded.model, loaded.signature, Batches(vocabulary.encode(4 * PASSAGE), N=4, T=len(PASSAGE) // 4))
    export_onnx(loaded.model, loaded.signature, folder, stateful=True, verify=False)
    add_file(folder, VOCABULARY, vocabulary.to_json().encode())
    prompt = PASSAGE[:10]
    written = go_on(eager(loaded.model.eval(), loaded.signature), vocabulary, prompt)
    add_file(folder, GREEDY, json.dumps({"prompt": prompt, "written": written}).encode())


def learn(model: nn.Module, signature: Signature, batches: Batches) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(500):
        perplexity = train_epoch(model, signature, batches, optimizer, clip=1.0, progress=lambda done, total: None)
        if perplexity < 1.05:
            return
    raise AssertionError(f"the passage was not learnt: perplexity {perplexity}")


def go_on(feed: Feed, vocabulary: Vocabulary, prompt: str) -> str:
    """200 characters, the likeliest each time: by so much that no runtime's rounding decides."""

    def decided(tokens: np.ndarray) -> np.ndarray:
        logits = feed(tokens)
        second, first = np.sort(logits)[-2:]
        assert first - second > 0.1
        return logits

    return "".join(islice(write(decided, vocabulary, prompt, temperature=0, random=np.random.default_rng()), 200))


def write_wrong(folder: Path) -> None:
    """Its bias is another one, and the hashes fit."""
    plant(write_bundle(folder, "hetero"), wrong_bias)


def _export(model: nn.Module, inputs: dict[str, str], outputs: list[str], folder: Path, **options: bool) -> None:
    export_onnx(model.eval(), Signature(inputs, outputs=outputs), folder, verify=False, **options)  # type: ignore[arg-type]


RIGHT: dict[str, Callable[[Path], None]] = {
    "hetero": write_hetero,
    "lstm": write_lstm,
    "scratch": write_scratch,
    "initial_state": write_initial_state,
    "int8": write_int8,
    "tags": write_tags,
    "half": write_half,
    "double": write_double,
    "learned_stateful": write_learned_stateful,
    "tagger_stateful": write_tagger_stateful,
    "batch_first_stateful": write_batch_first_stateful,
    "scratch_stateful": write_scratch_stateful,
    "characters_stateful": write_characters_stateful,
}
STATEFUL = [name for name in RIGHT if name.endswith("_stateful")]


def write_all(folder: Path) -> Path:
    """Write every bundle into a folder of its name; `wrong` is the one that must fail."""
    torch.manual_seed(5)
    for name, write_one in {**RIGHT, "wrong": write_wrong}.items():
        write_one(folder / name)
    return folder


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
