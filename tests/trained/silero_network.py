"""silero-vad's TorchScript at 16 kHz, with the context and the state that it keeps between calls."""

from __future__ import annotations

from silero_vad import load_silero_vad
from torch import Tensor, nn


class Vad(nn.Module):
    """How likely someone speaks in each of these 32 ms [N, 512], after what was heard before."""

    def __init__(self) -> None:
        super().__init__()
        self.vad = load_silero_vad()

    def forward(self, x: Tensor) -> Tensor:
        probability: Tensor = self.vad(x, 16_000)
        return probability
