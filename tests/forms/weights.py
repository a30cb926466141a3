"""Where weights come from: computed, shared, used twice, and layers that wrap or extend PyTorch's."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from .form import TIME_FIRST, TOKENS, X, form


class Base(nn.Module):
    def __init__(self, layer: type[nn.RNNBase] = nn.LSTM, **options: Any) -> None:
        super().__init__()
        self.rnn = layer(3, 4, **options)

    def forward(self, x: Tensor) -> Any:
        return self.rnn(x)[0]


@form(TIME_FIRST)
def weight_normed() -> nn.Module:
    model = Base()
    for name in ("weight_hh_l0", "weight_ih_l0"):
        parametrizations.weight_norm(model.rnn, name)
    return model


@form(TIME_FIRST)
def weight_normed_in_the_old_way() -> nn.Module:
    model = Base(nn.GRU, num_layers=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(model.rnn, "weight_hh_l1")
    return model


@form(TIME_FIRST)
def spectral_normed() -> nn.Module:
    model = Base(nn.RNN, bidirectional=True)
    parametrizations.spectral_norm(model.rnn, "weight_hh_l0_reverse")
    return model


@form(TIME_FIRST)
def spectral_normed_in_the_old_way() -> nn.Module:
    model = Base()
    nn.utils.spectral_norm(model.rnn, "weight_hh_l0")
    return model


@form(TIME_FIRST)
def orthogonal() -> nn.Module:
    model = Base(nn.RNN)
    parametrizations.orthogonal(model.rnn, "weight_hh_l0")
    return model


@form(TIME_FIRST)
def pruned() -> nn.Module:
    model = Base()
    prune.random_unstructured(model.rnn, "weight_hh_l0", amount=0.5)
    prune.random_unstructured(model.rnn, "weight_ih_l0", amount=0.5)
    return model


@form(TIME_FIRST)
def pruned_linear() -> nn.Module:
    model = nn.Sequential(Base(nn.GRU), nn.Linear(4, 3))
    parametrizations.weight_norm(model[1])
    return model


@form(TIME_FIRST)
class DropConnect(Base):
    """Merity's weight drop: the layer's own weight is set anew in each forward."""

    def __init__(self) -> None:
        super().__init__()
        raw = self.rnn.weight_hh_l0
        del self.rnn._parameters["weight_hh_l0"]
        self.rnn.register_parameter("weight_hh_l0_raw", nn.Parameter(raw.data))

    def forward(self, x: Tensor) -> Any:
        raw = self.rnn.weight_hh_l0_raw
        self.rnn.weight_hh_l0 = nn.functional.dropout(raw, p=0.5, training=self.training)  # type: ignore[arg-type]
        return self.rnn(x)[0]


@form(TOKENS)
class TiedEmbedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Embedding(10, 4)
        self.rnn = nn.LSTM(4, 4, 2)
        self.decoder = nn.Linear(4, 10)
        self.decoder.weight = self.encoder.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.decoder(self.rnn(self.encoder(tokens))[0])


@form(TIME_FIRST)
class TwoNames(nn.Module):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(3, 3)
        self.decoder = self.encoder

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x)[0])[0]


@form(TIME_FIRST)
class SharedWeights(nn.Module):
    """Two layers whose weights are the same parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(3, 3), nn.GRU(3, 3)
        for name in self.encoder._flat_weights_names:
            setattr(self.decoder, name, getattr(self.encoder, name))

    def forward(self, x: Tensor) -> Tensor:
        y, h = self.encoder(x)
        return self.decoder(y, h)[0]


@form(X)
class UsedTwice(nn.Module):
    """Two inputs through one layer, the second backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y, state = self.rnn(x)
        z, _ = self.rnn(x.flip(1), state)
        return y * z


class Mine(nn.LSTM):
    """A layer that calls its parent in one way."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes, batch_first=True)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        output, (h_n, c_n) = super().forward(x)
        return self.fc(output) + h_n[-1].sum() + c_n.sum()


class MineWithState(nn.GRU):
    """And in another."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Any:  # type: ignore[override]
        if hx is None:
            hx = torch.zeros(1, input.size(1), 4)
        return super().forward(input=input, hx=hx)


@form(X)
def subclass() -> nn.Module:
    return Mine(3, 4)


@form({"x": "float32[T, N, 3]", "h0": "float32[1, N, 4]"}, {"h0": "h_n"})
def subclass_with_state() -> nn.Module:
    return MineWithState(3, 4)


@form(X)
def subclass_inside() -> nn.Module:
    return nn.Sequential(Mine(3, 4), nn.Tanh())


@form(TIME_FIRST)
class Functional(nn.Module):
    """The functions that PyTorch's layers call, called by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList([torch.randn(16, 3), torch.randn(16, 4), torch.randn(16), torch.randn(16)])

    def forward(self, x: Tensor) -> Any:
        h0 = x.new_zeros(1, x.size(1), 4)
        return torch.lstm(x, (h0, h0), list(self.weights), True, 1, 0.0, self.training, False, False)


@form(TIME_FIRST)
class MatrixInOneParameter(nn.Module):
    """All weights are parts of one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Parameter(torch.randn(12 * 3 + 12 * 4 + 24) / 4)

    def forward(self, x: Tensor) -> Any:
        ih, hh, b_ih, b_hh = self.flat.split([36, 48, 12, 12])
        weights = [ih.view(12, 3), hh.view(12, 4), b_ih, b_hh]
        return torch.gru(x, x.new_zeros(1, x.size(1), 4), weights, True, 1, 0.0, False, False, False)


@form(TIME_FIRST)
def frozen() -> nn.Module:
    model = Base(nn.GRU).requires_grad_(False)
    model.rnn.weight_hh_l0.requires_grad_()
    return model


@form(TIME_FIRST)
def made_in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return Base()


@form(TIME_FIRST)
def in_training() -> nn.Module:
    return Base(nn.LSTM, num_layers=2, dropout=0.5).train()


class Half(nn.Module):
    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn, self.fc = rnn, nn.Linear(4, 3)
        self.half()

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.rnn(x)[0])


HALF = {"x": "float16[T, N, 3]"}


@form(HALF)
def half_rnn() -> nn.Module:
    return Half(nn.RNN(3, 4))


@form(HALF)
def half_gru() -> nn.Module:
    return Half(nn.GRU(3, 4, 2))


@form(HALF)
def half_lstm() -> nn.Module:
    return Half(nn.LSTM(3, 2, bidirectional=True))
