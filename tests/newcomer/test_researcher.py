"""A researcher with a cell of their own, who wants a stream of it and a word on what was refused."""

from __future__ import annotations

from doc_blocks import DOCS
from walking import Newcomer

REFUSED = """
import torch
from torch import nn


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, x):
        return self.rnn(x + torch.randn_like(x))[0]
"""


def test_the_page_on_cells(newcomer: Newcomer) -> None:
    assert "matches PyTorch" in newcomer.follow(DOCS / "how-to" / "own-cells.md")


def test_a_refusal_names_the_line_and_a_page_has_the_message(newcomer: Newcomer) -> None:
    newcomer.save("noisy.py", REFUSED)
    said = newcomer.type("rnn-export onnx noisy.py:Noisy --input 'x: float32[T, N, 3]'", code=2)
    assert "noisy.py:12" in said
    assert "random" in (DOCS / "troubleshooting.md").read_text()
