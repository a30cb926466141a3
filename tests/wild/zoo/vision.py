"""Reading text from pictures, and convolutional recurrence."""

from __future__ import annotations

import torch
from torch import nn

from ..model import Model
from ..stubs import bare


def _easyocr(module: str) -> nn.Module:
    import importlib

    bare("easyocr", "easyocr.model")
    model = importlib.import_module(f"easyocr.model.{module}").Model
    return model(1, 16, 8, 12)


def _doctr() -> nn.Module:
    bare("doctr", "doctr.models", "doctr.models.recognition", "doctr.models.recognition.crnn")
    from doctr.models.recognition.crnn.pytorch import CRNN

    features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=(8, 2), padding=1), nn.ReLU(), nn.MaxPool2d((4, 2)))
    return CRNN(features, "abcdefgh", rnn_units=8, exportable=True)


def _kraken_peephole() -> nn.Module:
    bare("kraken", "kraken.lib", "kraken.lib.vgsl")
    from kraken.lib.vgsl.layers import PeepholeBidiLSTM

    return PeepholeBidiLSTM(6, 7).apply(_filled)


def _kraken_rnn(**options: object) -> nn.Module:
    bare("kraken", "kraken.lib", "kraken.lib.vgsl")
    from kraken.lib.vgsl.layers import TransposedSummarizingRNN

    return TransposedSummarizingRNN(6, 7, **options)


def _legere() -> nn.Module:
    from legere.model import CompactCRNN

    return CompactCRNN()


def _conv_lstm() -> nn.Module:
    from conv_lstm import ConvLSTM

    return ConvLSTM(2, 3, 3, num_layers=2)


def _filled(module: nn.Module) -> None:
    """Weights for a module whose own are whatever was in memory."""
    for parameter in module.parameters(recurse=False):
        nn.init.uniform_(parameter, -0.5, 0.5)


MODELS = (
    Model(
        "easyocr",
        "CRNN, VGG features",
        "convolutions and pooling, adaptive pooling, two BiLSTMs; an unused input",
        lambda: _easyocr("vgg_model"),
        {"input": "float32[N, 1, 64, W]", "text": "int64[N, L] in 0..11"},
        lambda: {"input": torch.randn(3, 1, 64, 44), "text": torch.randint(0, 12, (3, 5))},
    ),
    Model(
        "easyocr",
        "CRNN, ResNet features",
        "residual convolutions, adaptive pooling, two BiLSTMs; an unused input",
        lambda: _easyocr("model"),
        {"input": "float32[N, 1, 64, W]", "text": "int64[N, L] in 0..11"},
        lambda: {"input": torch.randn(3, 1, 64, 44), "text": torch.randint(0, 12, (3, 5))},
    ),
    Model(
        "python-doctr",
        "CRNN",
        "strided convolutions, two-layer BiLSTM, dictionary as output",
        _doctr,
        {"x": "float32[N, 3, 32, W]"},
        lambda: {"x": torch.randn(3, 3, 32, 44)},
    ),
    Model(
        "kraken",
        "PeepholeBidiLSTM",
        "peephole cell over Python loops in both directions",
        _kraken_peephole,
        {"input": "float32[N, T, 6]"},
    ),
    Model(
        "kraken",
        "TransposedSummarizingRNN",
        "BiLSTM over columns, 4-D",
        lambda: _kraken_rnn(transpose=True, summarize=True),
        {"inputs": "float32[N, 6, H, W]"},
    ),
    Model(
        "kraken",
        "TransposedSummarizingRNN, lengths",
        "packs inside, lengths unsorted",
        lambda: _kraken_rnn(transpose=False, summarize=False),
        {"inputs": "float32[N, 6, 1, T]", "seq_len": "int64[N] in 1..T"},
    ),
    Model(
        "legere",
        "CompactCRNN",
        "depthwise convolutions before a BiGRU",
        _legere,
        {"images": "float32[N, 1, 32, W]"},
        lambda: {"images": torch.randn(3, 1, 32, 44)},
    ),
    Model(
        "conv-lstm",
        "ConvLSTM",
        "convolutional cell, two layers of Python loops, picture size dynamic",
        _conv_lstm,
        {"input_tensor": "float32[N, T, 2, H, W]"},
    ),
)
