"""Models that read text: Arabic without its vowels, and Chinese."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

from .model import PACKAGES, Answer, Forward, Trained
from .pinyin_network import PinyinNetwork

ARABIC = "ذهب الولد إلى المدرسة في الصباح ثم عاد إلى بيته مع صديقه"
CHINESE = "然而，他红了20年以后，他竟退出了大家的视线，银行行长重新调查了这件事。"  # noqa: RUF001
_VOCABULARY = 54


def _diacritizer() -> nn.Module:
    from diacritize.baseline.model import BiLSTMDiacritizer

    return BiLSTMDiacritizer.from_pretrained()


def _export_diacritizer(folder: Path) -> list[str]:
    return [
        *("diacritize.baseline.model:BiLSTMDiacritizer", "--set", f"vocab_size={_VOCABULARY}"),
        *("--weights", str(PACKAGES / "diacritize" / "assets" / "bilstm_best.pt")),
        *("--input", f"input_ids: int64[N, T] in 0..{_VOCABULARY - 1}"),
    ]


def _diacritize(forward: Forward | None) -> Answer:
    from diacritize.pipeline import Diacritizer

    network = _diacritizer()
    network.forward = forward or network.forward
    return {"text": Diacritizer(network).diacritize(ARABIC)}


def _pinyin_weights() -> dict[str, np.ndarray]:
    """What the package has read from its own file, by PyTorch's names."""
    from g2pM import G2pM

    read = G2pM()
    found = {"embedding.weight": read.embeddings}
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        found[f"lstm.{kind}_l0"] = getattr(read, kind)
        found[f"lstm.{kind}_l0_reverse"] = getattr(read, f"{kind}_reverse")
    for layer, place in ((0, 0), (1, 2)):
        found[f"logit_layer.{place}.weight"] = getattr(read, f"hidden_weight_l{layer}")
        found[f"logit_layer.{place}.bias"] = getattr(read, f"hidden_bias_l{layer}")
    return {name: np.ascontiguousarray(array) for name, array in found.items()}


def _pinyin_network() -> nn.Module:
    network = PinyinNetwork()
    network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in _pinyin_weights().items()})
    return network


def _export_pinyin(folder: Path) -> list[str]:
    save_file(_pinyin_weights(), folder / "g2pm.safetensors")
    return [
        *("trained.pinyin_network:PinyinNetwork", "--weights", str(folder / "g2pm.safetensors")),
        *("--input", "ids: int64[N, T] in 0..5397"),
    ]


def _pinyin(forward: Forward | None) -> Answer:
    from g2pM import G2pM

    package = G2pM()
    if forward is not None:
        package.predict = lambda ids, places: (
            forward(torch.from_numpy(ids.astype(np.int64)))[0, places].argmax(dim=-1).numpy()
        )
    return {"pinyin": package(CHINESE, tone=True, char_split=False)}


MODELS = (
    Trained(
        "arabic-diacritizer",
        "three BiLSTM layers, additive attention",
        f"“{ARABIC}”",
        _export_diacritizer,
        _diacritizer,
        _diacritize,
    ),
    Trained("g2pM", "BiLSTM, in numpy", f"“{CHINESE}”", _export_pinyin, _pinyin_network, _pinyin),
)
