"""The network of g2pM, which the package computes with numpy, as a module."""

from __future__ import annotations

from torch import Tensor, nn


class PinyinNetwork(nn.Module):
    """g2pM's network, which it computes with numpy: the classes of every character's pinyin [N, T, 876]."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5398, 64)
        self.lstm = nn.LSTM(64, 32, bidirectional=True, batch_first=True)
        self.logit_layer = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 876))

    def forward(self, ids: Tensor) -> Tensor:
        hidden, _ = self.lstm(self.embedding(ids))
        logits: Tensor = self.logit_layer(hidden)
        return logits
