"""The models of the rows as whoever steps a stream has them: they take their states and return them."""

from __future__ import annotations

from rnn_export import Signature
from rnn_export.models.deep import DeepRNN
from rnn_export.models.hetero import HeteroRNN
from torch import Tensor, nn

_LAYERS = 4


class CarryingRNN(nn.Module):
    """`DeepRNN` of a cell with one state: x [T, N, I] and h0 [L, N, H] to output [T, N, H] and h_n [L, N, H]."""

    def __init__(self, deep: DeepRNN) -> None:
        super().__init__()
        self.rnn = deep.rnn

    def forward(self, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        output, h_n = self.rnn(x, h0)
        return output, h_n


class CarryingLSTM(nn.Module):
    """`DeepRNN` of LSTM cells: h0 and c0 are [L, N, H], and so are h_n and c_n."""

    def __init__(self, deep: DeepRNN) -> None:
        super().__init__()
        self.rnn = deep.rnn

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output, (h_n, c_n) = self.rnn(x, (h0, c0))
        return output, h_n, c_n


class CarryingHetero(nn.Module):
    """`HeteroRNN` of four layers, with the state [1, N, H] of each: TorchScript takes no varying number of them."""

    def __init__(self, hetero: HeteroRNN) -> None:
        super().__init__()
        assert len(hetero.rnn) == _LAYERS
        self.rnn, self.fc = hetero.rnn, hetero.fc

    def forward(
        self, x: Tensor, h0_0: Tensor, h0_1: Tensor, h0_2: Tensor, h0_3: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        x, h_n_0 = self.rnn[0](x, h0_0)
        x, h_n_1 = self.rnn[1](x, h0_1)
        x, h_n_2 = self.rnn[2](x, h0_2)
        x, h_n_3 = self.rnn[3](x, h0_3)
        return self.fc(x[-1]), h_n_0, h_n_1, h_n_2, h_n_3


def carrying(module: DeepRNN | HeteroRNN) -> tuple[nn.Module, Signature]:
    """The same weights with states taken and returned, and the signature of that."""
    plain = module.signature()
    if isinstance(module, HeteroRNN):
        widths = {f"{number}": layer.hidden_size for number, layer in enumerate(module.rnn)}
        states = {f"h0_{number}": f"h_n_{number}" for number in widths}
        specs = {f"h0_{number}": f"float32[1, N, {width}]" for number, width in widths.items()}
        return CarryingHetero(module).eval(), _signature(plain, specs, states)
    states = {"h0": "h_n", "c0": "c_n"} if module.cell == "lstm" else {"h0": "h_n"}
    specs = dict.fromkeys(states, f"float32[{module.rnn.num_layers}, N, {module.rnn.hidden_size}]")
    around = CarryingLSTM(module) if module.cell == "lstm" else CarryingRNN(module)
    return around.eval(), _signature(plain, specs, states)


def _signature(plain: Signature, specs: dict[str, str], states: dict[str, str]) -> Signature:
    outputs = [*plain.outputs, *(name for name in states.values() if name not in plain.outputs)]
    return Signature({**plain.inputs, **specs}, outputs, states=states)
