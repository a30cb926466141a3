"""A model of over 2 GiB, which one protobuf file cannot hold: exported, run in ONNX Runtime, compared with PyTorch.

Run as `make large`: it needs about 16 GB of memory and 6 GB of disk, and prints time, peak memory, file sizes and the
largest difference at a size that was never captured.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rnn_export
import torch
from torch import Tensor, nn

VOCABULARY, SIZE, HIDDEN = 400_000, 1024, 6144
# A stack of float32 products of this length, through tanh: what two careful programs may differ by.
TOLERANCE = 1e-4

RUN = """
import sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
np.save(sys.argv[3], session.run(None, {"tokens": np.load(sys.argv[2])})[0])
"""


class Large(nn.Module):
    """Tokens through a large table and a wide LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, SIZE)
        self.rnn = nn.LSTM(SIZE, HIDDEN)
        self.out = nn.Linear(HIDDEN, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.out(self.rnn(self.embedding(tokens))[0])
        return logits


def main() -> None:
    torch.manual_seed(0)
    model = Large().eval()
    stored = sum(parameter.numel() * 4 for parameter in model.parameters())
    signature = rnn_export.Signature({"tokens": f"int64[T, N] in 0..{VOCABULARY - 1}"})
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        start = time.perf_counter()
        exported = rnn_export.export_onnx(model, signature, out / "large", verify=False)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{stored / 1e9:.2f} GB of weights exported in {seconds:.0f} s, with {peak:.1f} GB of memory at most")
        for name, size in exported.files.items():
            print(f"  {name:24} {size / 1e6:10.2f} MB")
        difference = compare(model, out)
    print(f"largest difference at T=3, N=2: {difference:.1e}, of {TOLERANCE:.0e} allowed")
    sys.exit(difference > TOLERANCE)


def compare(model: nn.Module, out: Path) -> float:
    """The largest difference between PyTorch and ONNX Runtime, which runs in a process of its own."""
    tokens = torch.randint(VOCABULARY, (3, 2))
    np.save(out / "in.npy", tokens.numpy())
    files = [str(out / name) for name in ("large/model.onnx", "in.npy", "out.npy")]
    subprocess.run([sys.executable, "-c", RUN, *files], check=True)
    with torch.no_grad():
        expected = model(tokens).numpy()
    return float(np.abs(np.load(out / "out.npy") - expected).max())


if __name__ == "__main__":
    main()
