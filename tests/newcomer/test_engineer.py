"""An ML engineer with a Lightning checkpoint, who has not read how inputs are described."""

from __future__ import annotations

from doc_blocks import DOCS
from walking import Newcomer, proposed

MODEL = """
import torch
from torch import nn


class Tagger(nn.Module):
    def __init__(self, words: int = 40, tags: int = 5):
        super().__init__()
        self.embedding = nn.Embedding(words, 8)
        self.rnn = nn.LSTM(8, 16, batch_first=True, bidirectional=True)
        self.head = nn.Linear(32, tags)

    def forward(self, tokens, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False
        )
        output, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.head(output)


if __name__ == "__main__":
    import argparse

    weights = {f"model.{name}": weight for name, weight in Tagger(50).state_dict().items()}
    torch.save({"epoch": 9, "state_dict": weights, "hyper_parameters": argparse.Namespace(lr=1e-3)}, "last.ckpt")
"""


def test_a_checkpoint_by_what_the_messages_say(newcomer: Newcomer) -> None:
    newcomer.save("tagger.py", MODEL)
    newcomer.type("python tagger.py")
    export = "rnn-export onnx tagger.py:Tagger --weights last.ckpt"
    misfit = newcomer.type(
        f"{export} --input 'tokens: int64[N, T] in 0..39' --input 'lengths: int64[N] in 1..T'", code=2
    )
    assert "embedding.weight [50, 8] instead of [40, 8]" in misfit
    asked = newcomer.type(f"{export} --set words=50", code=2)
    said = newcomer.type(f"{export} --set words=50 {proposed(asked)}")
    assert "model.onnx matches PyTorch: " in said
    assert "Weights are the entry 'state_dict' of last.ckpt." in said
    assert "Untrained" not in said
    assert "matches PyTorch" in newcomer.type("rnn-export verify artifacts/Tagger --model tagger.py:Tagger")


def test_the_pages_on_checkpoints_and_inputs(newcomer: Newcomer) -> None:
    assert "The prefix 'model.' of the weights' names was left out." in newcomer.follow(
        DOCS / "how-to" / "checkpoints.md"
    )
    newcomer.follow(DOCS / "how-to" / "inputs.md")
