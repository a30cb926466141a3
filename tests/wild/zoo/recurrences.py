"""Recurrences of today: state spaces, linear attention, delta rules, gates in log space, mostly in parallel forms."""

from __future__ import annotations

import importlib
from typing import Any

from torch import Tensor, nn

from ..model import Model, Pinned
from ..stubs import bare

_TOKENS = {"x": "int64[N, T] in 0..15"}
_FRAMES = {"x": "float32[N, T, 8]"}
_SMALL = {"vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 2, "use_cache": False}
_ATTENTION = {"intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 1}


class First(nn.Module):
    """The first of what a model returns; the rest are its states, in lists and caches."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Any:
        return self.model(x)[0]


def _transformers(name: str, **options: Any) -> nn.Module:
    """A language model of that name, small, and without a cache."""
    package = importlib.import_module("transformers")
    config = getattr(package, f"{name}Config")(**{**_SMALL, **options})
    return Pinned(getattr(package, f"{name}ForCausalLM")(config), use_cache=False)


def _delta_net() -> nn.Module:
    return _transformers(
        "Qwen3Next",
        **_ATTENTION,
        head_dim=8,
        linear_num_value_heads=4,
        linear_num_key_heads=2,
        linear_key_head_dim=4,
        linear_value_head_dim=4,
        num_experts=0,
        num_experts_per_tok=1,
        moe_intermediate_size=8,
        shared_expert_intermediate_size=8,
        mlp_only_layers=[0, 1],
        layer_types=["linear_attention", "full_attention"],
    )


def _moonshine() -> nn.Module:
    package = importlib.import_module("transformers")
    sizes = {"hidden_size": 16, **_ATTENTION, "num_key_value_heads": 2, "num_hidden_layers": 2}
    config = package.MoonshineStreamingConfig(encoder_config=sizes, vocab_size=16, **sizes)
    return Pinned(package.MoonshineStreamingModel(config).encoder)


def _mambapy(*, pscan: bool) -> nn.Module:
    mamba = importlib.import_module("mambapy.mamba")
    built: nn.Module = mamba.Mamba(mamba.MambaConfig(d_model=8, n_layers=2, d_state=4, pscan=pscan))
    return built


def _minimamba() -> nn.Module:
    bare("minimamba")
    config, s6 = (importlib.import_module(f"minimamba.{name}") for name in ("config", "s6"))
    built: nn.Module = s6.S6(config.BaseMambaConfig(d_model=8, n_layer=1, d_state=4))
    return built


def _mamba3() -> nn.Module:
    layer = importlib.import_module("mamba3_ssm.layer")
    built: nn.Module = layer.Mamba3(d_model=8, d_state=8, headdim=8)
    return built


def _lru() -> nn.Module:
    built: nn.Module = importlib.import_module("LRU_pytorch.LRU").LRU(8, 6, 5)
    return built


def _s5() -> nn.Module:
    built: nn.Module = importlib.import_module("s5").S5Block(8, 8, bidir=False)
    return built


def _min_lstm() -> nn.Module:
    built: nn.Module = importlib.import_module("minGRU_pytorch.minLSTM").minLSTM(8)
    return built


def _torchxlstm(kind: str) -> nn.Module:
    built: nn.Module = getattr(importlib.import_module("torchxlstm.xlstm"), kind)(8, 4, 2, batch_first=True)
    return First(built)


def _xlstm_mlstm() -> nn.Module:
    layer = importlib.import_module("xlstm.blocks.mlstm.layer")
    built: nn.Module = layer.mLSTMLayer(layer.mLSTMLayerConfig(embedding_dim=8, num_heads=2, context_length=300))
    return built


def _rwkv7() -> nn.Module:
    config, modeling = (importlib.import_module(f"rwkv7_hf.{name}_rwkv7") for name in ("configuration", "modeling"))
    ranks = {f"{of}_low_rank_dim": 4 for of in ("decay", "gate", "a", "v")}
    model = modeling.RWKV7ForCausalLM(config.RWKV7Config(**_SMALL, head_dim=8, **ranks))
    return Pinned(model, use_cache=False)


MODELS = (
    Model(
        "transformers", "Mamba", "selective scan, loop over T", lambda: _transformers("Mamba", state_size=4), _TOKENS
    ),
    Model(
        "transformers",
        "FalconMamba",
        "selective scan with normalised steps",
        lambda: _transformers("FalconMamba", state_size=4),
        _TOKENS,
    ),
    Model(
        "transformers",
        "Mamba2",
        "state space duality in chunks, T padded to a multiple",
        lambda: _transformers("Mamba2", state_size=4, num_heads=4, head_dim=8, n_groups=2, chunk_size=4),
        _TOKENS,
    ),
    Model(
        "transformers",
        "Bamba",
        "Mamba-2 and attention layers in turn",
        lambda: _transformers(
            "Bamba",
            **_ATTENTION,
            attn_layer_indices=[1],
            mamba_n_heads=4,
            mamba_d_head=8,
            mamba_d_state=4,
            mamba_chunk_size=4,
        ),
        _TOKENS,
    ),
    Model(
        "transformers",
        "Zamba2",
        "Mamba-2 with a shared attention block",
        lambda: _transformers(
            "Zamba2",
            intermediate_size=24,
            num_attention_heads=2,
            num_key_value_heads=2,
            n_mamba_heads=4,
            mamba_d_state=4,
            mamba_ngroups=1,
            chunk_size=4,
            layers_block_type=["mamba", "hybrid"],
            num_mem_blocks=1,
        ),
        _TOKENS,
    ),
    Model(
        "transformers",
        "RecurrentGemma",
        "RG-LRU, loop over T, and attention in a window",
        lambda: _transformers(
            "RecurrentGemma",
            num_hidden_layers=3,
            intermediate_size=24,
            num_attention_heads=2,
            lru_width=16,
            attention_window_size=8,
        ),
        _TOKENS,
    ),
    Model(
        "transformers",
        "Rwkv",
        "RWKV-4: loop over T with the largest exponent as a state",
        lambda: _transformers("Rwkv", attention_hidden_size=16, intermediate_size=24),
        _TOKENS,
    ),
    Model(
        "transformers",
        "xLSTM",
        "mLSTM in chunks of T, T padded to a multiple",
        lambda: _transformers("xLSTM", num_blocks=2, num_heads=2, chunk_size=4),
        _TOKENS,
        gap="beyond 16384 steps it goes another way, and held below that its capture fails",
    ),
    Model("transformers", "Qwen3Next", "gated delta rule in chunks of 64, attention", _delta_net, _TOKENS),
    Model(
        "transformers",
        "Lfm2",
        "short gated convolutions and attention",
        lambda: _transformers("Lfm2", **_ATTENTION, layer_types=["conv", "full_attention"]),
        _TOKENS,
    ),
    Model(
        "transformers",
        "MoonshineStreaming encoder",
        "frames of samples, causal convolutions, attention in windows",
        _moonshine,
        {"x": "float32[N, 80*T]"},
    ),
    Model(
        "mambapy",
        "Mamba",
        "Blelloch scan in place, T padded to a power of two",
        lambda: _mambapy(pscan=True),
        _FRAMES,
        gap="its scan writes through views that are half as long after every step, as often as 2 goes into T",
    ),
    Model("mambapy", "Mamba, sequential", "selective scan, loop over T", lambda: _mambapy(pscan=False), _FRAMES),
    Model("minimamba", "S6", "another scan for short, middle and long sequences", _minimamba, _FRAMES),
    Model("mamba3-ssm", "Mamba3", "rotating states, trapezoidal steps", _mamba3, _FRAMES),
    Model(
        "lru-pytorch",
        "LRU",
        "complex state, loops over N and T, the state an attribute",
        _lru,
        _FRAMES,
    ),
    Model(
        "s5-pytorch",
        "S5Block",
        "complex diagonal state, associative scan under vmap",
        _s5,
        _FRAMES,
        gap="its scan calls itself as often as T can be halved",
    ),
    Model("minGRU-pytorch", "minLSTM", "parallel scan in log space", _min_lstm, _FRAMES),
    Model("torchxlstm", "sLSTM", "exponential gates, loop over T", lambda: _torchxlstm("sLSTM"), _FRAMES),
    Model("torchxlstm", "mLSTM", "matrix memory, loop over T", lambda: _torchxlstm("mLSTM"), _FRAMES),
    Model(
        "xlstm",
        "mLSTMLayer",
        "matrix memory, parallel form, a mask of the longest T",
        _xlstm_mlstm,
        _FRAMES,
    ),
    Model(
        "rwkv7-hf",
        "RWKV7",
        "delta rule with a diagonal decay, loop over T",
        _rwkv7,
        _TOKENS,
        gap="its linear maps take tiles of the batch, padded to a power of two",
    ),
)
