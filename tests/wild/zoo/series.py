"""Time series, recommendation, reinforcement learning."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import torch
from torch import nn

from ..model import Model, Pinned
from ..stubs import bare


def _ncps(kind: str, **options: object) -> nn.Module:
    from ncps.torch import LTC, CfC
    from ncps.wirings import AutoNCP

    return {"CfC": CfC, "LTC": LTC}[kind](6, AutoNCP(10, 3, seed=1) if options.pop("wired", False) else 8, **options)


def _drnn(cell: str) -> nn.Module:
    bare("neuralforecast", "neuralforecast.models")
    from neuralforecast.models.dilated_rnn import DRNN

    return DRNN(6, 7, n_layers=2, dilations=[1, 2], cell_type=cell)


def _sample_factory(kind: str) -> nn.Module:
    from sample_factory.model.core import ModelCoreRNN

    return ModelCoreRNN(SimpleNamespace(rnn_type=kind, rnn_size=7, rnn_num_layers=2), 6)


def _ding() -> nn.Module:
    bare("ding", "ding.torch_utils", "ding.torch_utils.network", "ding.utils")
    sys.modules["ding"].enable_hpc_rl = False
    from ding.torch_utils.network.rnn import LSTM

    return Pinned(LSTM(6, 7, 2, norm_type="LN"), prev_state=None, list_next_state=False)


def _torchrl(kind: str) -> nn.Module:
    bare("torchrl.modules", "torchrl.modules.tensordict_module")
    from torchrl.modules.tensordict_module import rnn

    return getattr(rnn, kind)(6, 7, num_layers=2, batch_first=True)


def _pf(kind: str) -> nn.Module:
    bare("pytorch_forecasting", "pytorch_forecasting.layers", "pytorch_forecasting.layers._recurrent")
    import importlib

    module = importlib.import_module(f"pytorch_forecasting.layers._recurrent._{kind.lower()}.layer")
    return getattr(module, f"{kind}Layer")(6, 6, num_layers=2)


def _sru() -> nn.Module:
    from sru import SRU

    return SRU(6, 7, num_layers=2, bidirectional=True)


def _xlstm() -> nn.Module:
    from xlstm import sLSTMLayer, sLSTMLayerConfig

    return sLSTMLayer(sLSTMLayerConfig(embedding_dim=16, num_heads=2, backend="vanilla"))


def _mingru() -> nn.Module:
    from minGRU_pytorch import minGRU

    return minGRU(8)


def _torchrecurrent(kind: str) -> nn.Module:
    import torchrecurrent

    return getattr(torchrecurrent, kind)(6, 7, num_layers=2)


def _ur_lstm() -> nn.Module:
    from ur_lstm import URLSTM

    return URLSTM(6, 7, num_layers=2)


def _cerebral() -> nn.Module:
    from cerebral_lstm import CerebralLSTM

    return CerebralLSTM(6, 7, num_layers=2)


def _array() -> nn.Module:
    from arrayLSTM import ArrayLSTM

    return ArrayLSTM(6, 7, 3)


def _brc() -> nn.Module:
    from brc_pytorch.modules import BRC, StackedRNN

    return StackedRNN(BRC, 6, 7, num_layers=2)


def _neuralfield() -> nn.Module:
    from neuralfields import NeuralField

    return NeuralField(6, 8)


def _grud() -> nn.Module:
    bare("pypots", "pypots.nn", "pypots.nn.modules", "pypots.nn.modules.grud")
    from pypots.nn.modules.grud.backbone import BackboneGRUD

    return BackboneGRUD(7, 6, 8)


def _tgcn() -> nn.Module:
    bare("torch_geometric_temporal", "torch_geometric_temporal.nn", "torch_geometric_temporal.nn.recurrent")
    from torch_geometric_temporal.nn.recurrent.agcrn import AGCRN

    return AGCRN(4, 3, 5, 2, 6)


def _aggregation(kind: str) -> nn.Module:
    from torch_geometric.nn import aggr

    return {"LSTM": aggr.LSTMAggregation, "GRU": aggr.GRUAggregation}[kind](6, 7)


MODELS = (
    Model("ncps", "CfC", "Python loop over T, custom cell", lambda: _ncps("CfC"), {"input": "float32[N, T, 6]"}),
    Model(
        "ncps",
        "CfC, wired and mixed memory",
        "sparse masked cell and an LSTM cell in one loop",
        lambda: _ncps("CfC", wired=True, mixed_memory=True),
        {"input": "float32[N, T, 6]"},
    ),
    Model(
        "ncps",
        "LTC",
        "ODE solver steps in a Python loop over T",
        lambda: _ncps("LTC", wired=True),
        {"input": "float32[N, T, 6]"},
    ),
    Model(
        "neuralforecast",
        "DRNN, LSTM",
        "dilations: T padded to a multiple, strided slices, batch times dilation",
        lambda: _drnn("LSTM"),
        {"inputs": "float32[N, T, 6]"},
    ),
    Model(
        "neuralforecast",
        "DRNN, ResLSTM",
        "the same with a custom cell over unbind",
        lambda: _drnn("ResLSTM"),
        {"inputs": "float32[N, T, 6]"},
    ),
    Model(
        "sample-factory",
        "ModelCoreRNN",
        "one step, states of all layers in one tensor",
        lambda: _sample_factory("lstm"),
        {"head_output": "float32[N, 6]", "rnn_states": "float32[N, 28]"},
    ),
    Model("DI-engine", "LSTM", "layer-normalised gates, loops over layers and T", _ding, {"x": "float32[T, N, 6]"}),
    Model(
        "torchrl",
        "LSTM",
        "LSTM written in Python, loops over T and layers",
        lambda: _torchrl("LSTM"),
        {"input": "float32[N, T, 6]"},
    ),
    Model(
        "torchrl",
        "GRU",
        "GRU written in Python, loops over T and layers",
        lambda: _torchrl("GRU"),
        {"input": "float32[N, T, 6]"},
    ),
    Model(
        "pytorch-forecasting",
        "mLSTMLayer",
        "matrix memory, loop over T",
        lambda: _pf("mLSTM"),
        {"x": "float32[N, T, 6]"},
    ),
    Model(
        "pytorch-forecasting",
        "sLSTMLayer",
        "exponential gates, loop over T",
        lambda: _pf("sLSTM"),
        {"x": "float32[N, T, 6]"},
    ),
    Model(
        "sru",
        "SRU",
        "elementwise recurrence, scripted, own kernels",
        _sru,
        {"input": "float32[T, N, 6]"},
        gap="without gradients it calls a C++ operator of its own, sru_cpu::cpu_bi_forward; the error says so",
    ),
    Model(
        "xlstm",
        "sLSTMLayer",
        "causal convolution, heads, exponential gates, loop over T",
        _xlstm,
        {"x": "float32[N, T, 16]"},
    ),
    Model(
        "minGRU-pytorch",
        "minGRU",
        "parallel scan in log space; one step apart",
        _mingru,
        {"x": "float32[N, T, 8]"},
    ),
    Model(
        "torchrecurrent",
        "PeepholeLSTM",
        "peepholes, loops over T and layers",
        lambda: _torchrecurrent("PeepholeLSTM"),
        {"inp": "float32[T, N, 6]"},
    ),
    Model("torchrecurrent", "MGU", "minimal gated unit", lambda: _torchrecurrent("MGU"), {"inp": "float32[T, N, 6]"}),
    Model("ur-lstm-torch", "URLSTM", "refine gates, loop over T", _ur_lstm, {"x": "float32[T, N, 6]"}),
    Model("cerebral-lstm", "CerebralLSTM", "two memory paths, loop over T", _cerebral, {"x": "float32[T, N, 6]"}),
    Model("array-lstm", "ArrayLSTM", "array of memories, loop over T", _array, {"x": "float32[N, T, 6]"}),
    Model(
        "brc",
        "BRC",
        "scripted cell in a scripted loop",
        _brc,
        {"input": "float32[T, N, 6]", "hidden.0.0": "float32[N, 7]", "hidden.1.0": "float32[N, 7]"},
    ),
    Model(
        "neuralfields",
        "NeuralField",
        "convolution over potentials, iterates over a tensor",
        _neuralfield,
        {"inputs": "float32[N, T, 6]"},
    ),
    Model(
        "pypots",
        "BackboneGRUD",
        "decay by elapsed time, GRU cell in a loop over a fixed T",
        _grud,
        {
            "X": "float32[N, 7, 6]",
            "missing_mask": "float32[N, 7, 6]",
            "deltas": "float32[N, 7, 6]",
            "empirical_mean": "float32[6]",
            "X_filledLOCF": "float32[N, 7, 6]",
        },
    ),
    Model(
        "torch-geometric",
        "LSTMAggregation",
        "graph neighbourhoods to dense batches, LSTM",
        lambda: _aggregation("LSTM"),
        {"x": "float32[M, 6]", "index": "int64[M] in 0..3"},
        lambda: {"x": torch.randn(12, 6), "index": torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3])},
    ),
    Model(
        "torch-geometric-temporal",
        "AGCRN",
        "graph convolution in GRU gates, one step",
        _tgcn,
        {"X": "float32[N, 4, 3]", "E": "float32[4, 6]", "H": "float32[N, 4, 5]"},
    ),
)
