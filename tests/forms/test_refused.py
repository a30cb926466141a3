"""What cannot be exported: one sentence that says what, where in the user's source, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

SOURCE = """import warnings
from torch.nn import functional as F

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

class Squeezes(Base):
    def forward(self, x):
        y, h = self.rnn(x)
        return h[-1].squeeze(0)

class SqueezesAll(Base):
    def forward(self, x):
        return self.rnn(x)[0][..., :1].squeeze()

class Branches(Base):
    def forward(self, x):
        y, _ = self.rnn(x)
        ways = {0: y, 1: -y}
        chosen = int(y.sum() > 0)
        return ways[chosen]

class Decomposes(Base):
    def forward(self, x):
        y, _ = self.rnn(x)
        return torch.linalg.svd(y)[1]

class Numpy(Base):
    def forward(self, x):
        return torch.from_numpy(self.rnn(x)[0].detach().numpy() * 2)

class Complex(Base):
    def forward(self, x):
        return torch.fft.fft(self.rnn(x)[0])

class Counts(Base):
    def forward(self, x):
        y, _ = self.rnn(x)
        return y, y.size(1)

class Noisy(Base):
    def forward(self, x):
        return self.rnn(x + torch.randn_like(x))[0]

class Raises(Base):
    def forward(self, x):
        return self.rnn(torch.cat([x, x[..., :1]], 0))[0]
"""

CASES = [
    ("Squeezes", "squeeze at user_model.py:15 removes a dimension where a dynamic size is 1"),
    ("SqueezesAll", "squeeze at user_model.py:19 removes a dimension where a dynamic size is 1"),
    ("Branches", "turns a computed value into a Python number or truth value at user_model.py:25"),
    ("Decomposes", "uses an operation that has no ONNX form at user_model.py:31 (No ONNX function found for"),
    ("Numpy", "torch.export cannot capture the model at user_model.py:35 (RuntimeError: .numpy() is not supported"),
    ("Complex", "The model returns complex numbers, which ONNX lacks. Return torch.view_as_real of them."),
    ("Counts", "The model returns an int at [1]. Return a tensor, or a tuple, list or dictionary of tensors."),
    ("Noisy", "The model draws random numbers, also in evaluation mode: 'randn_like' at user_model.py:48"),
    ("Raises", "forward raised RuntimeError at user_model.py:52 for x [7, 5, 3]: Sizes of tensors must match"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "said"), CASES, ids=[name for name, _ in CASES])
def test_refused(cli: Callable[..., Result], write: Callable[[str], Path], name: str, said: str) -> None:
    write(SOURCE)
    result: Any = cli("onnx", "--model", f"user_model.py:{name}", "--input", "x: float32[N, T, 3]")
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stdout == ""
    assert not list(Path("artifacts").rglob("*.*"))
