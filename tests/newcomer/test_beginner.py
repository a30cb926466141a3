"""A beginner from the notebook that the built-in models come from, in Chinese; and the notebook's own mistake."""

from __future__ import annotations

from doc_blocks import DOCS
from walking import Newcomer

MISTAKE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(10, 20)

    def forward(self, X):
        h0 = torch.zeros(1, X.size(0), 20)
        return self.rnn(X, h0)[0]
"""


def test_the_quick_start(newcomer: Newcomer) -> None:
    assert "matches PyTorch" in newcomer.follow(DOCS / "quickstart.zh.md")


def test_the_batch_size_of_time_first_input(newcomer: Newcomer) -> None:
    newcomer.save("net.py", MISTAKE)
    said = newcomer.type("rnn-export onnx net.py:Net --input 'X: float32[T, N, 10]'", code=2)
    assert "net.py:13" in said
