"""Language: encoders of packed sequences, taggers, language models."""

from __future__ import annotations

from torch import nn

from ..model import Model
from ..stubs import bare


def _stanza(kind: str, **options: object) -> nn.Module:
    bare("stanza", "stanza.models", "stanza.models.common")
    from stanza.models.common import hlstm, packed_lstm

    found = getattr(packed_lstm, kind, None) or getattr(hlstm, kind)
    return found(6, 7, num_layers=2, batch_first=True, bidirectional=True, pad=True, **options)


def _onmt() -> nn.Module:
    bare("onmt", "onmt.encoders", "onmt.modules", "onmt.utils")
    from onmt.encoders.rnn_encoder import RNNEncoder

    embeddings = nn.Embedding(12, 6)
    embeddings.embedding_size = 6
    return RNNEncoder("LSTM", True, 2, 8, embeddings=embeddings, use_bridge=True)


def _joey() -> nn.Module:
    bare("joeynmt")
    from joeynmt.encoders import RecurrentEncoder

    return RecurrentEncoder(rnn_type="gru", hidden_size=7, emb_size=6, num_layers=2, bidirectional=True)


def _fastnlp() -> nn.Module:
    bare("fastNLP", "fastNLP.modules", "fastNLP.modules.encoder")
    from fastNLP.modules.encoder.lstm import LSTM

    return LSTM(6, 7, num_layers=2, bidirectional=True)


def _fastnlp_variational() -> nn.Module:
    bare("fastNLP", "fastNLP.modules", "fastNLP.modules.encoder")
    from fastNLP.modules.encoder.variational_rnn import VarLSTM

    return VarLSTM(input_size=6, hidden_size=7, num_layers=2, bidirectional=True, batch_first=True)


def _sentence_lstm() -> nn.Module:
    from sentence_transformers.sentence_transformer.modules.lstm import LSTM

    return LSTM(6, 7)


def _supar_char() -> nn.Module:
    bare("supar", "supar.modules")
    from supar.modules.lstm import CharLSTM

    return CharLSTM(12, 6, 8, 7)


def _widedeep(kind: str) -> nn.Module:
    bare(
        "pytorch_widedeep",
        "pytorch_widedeep.models",
        "pytorch_widedeep.models.text",
        "pytorch_widedeep.models.text.rnns",
        "pytorch_widedeep.models.tabular",
        "pytorch_widedeep.models.tabular.mlp",
    )
    import importlib

    modules = {"BasicRNN": "basic_rnn", "AttentiveRNN": "attentive_rnn", "StackedAttentiveRNN": "stacked_attentive_rnn"}
    module = importlib.import_module(f"pytorch_widedeep.models.text.rnns.{modules[kind]}")
    layers = "n_blocks" if kind == "StackedAttentiveRNN" else "n_layers"
    return getattr(module, kind)(vocab_size=12, embed_dim=6, hidden_dim=7, padding_idx=0, **{layers: 2})


def _torchnlp() -> nn.Module:
    bare("torchnlp", "torchnlp.nn")
    from torchnlp.nn.weight_drop import WeightDropLSTM

    return WeightDropLSTM(6, 7, num_layers=2, weight_dropout=0.5)


def _awd() -> nn.Module:
    from fastai.text.models.awdlstm import AWD_LSTM

    return AWD_LSTM(12, 6, 7, 2)


def _diaparser() -> nn.Module:
    bare("diaparser", "diaparser.modules")
    from diaparser.modules.char_lstm import CharLSTM

    return CharLSTM(12, 6, 8)


MODELS = (
    Model(
        "stanza",
        "PackedLSTM",
        "packs inside, two layers, both directions",
        lambda: _stanza("PackedLSTM"),
        {"input": "float32[N, T, 6]", "lengths": "int64[N] in 1..T descending"},
    ),
    Model(
        "stanza",
        "HighwayLSTM",
        "one packed sequence through layers, gates on its data",
        lambda: _stanza("HighwayLSTM"),
        {"input": "float32[N, T, 6]", "seqlens": "int64[N] in 1..T descending"},
    ),
    Model(
        "stanza",
        "PackedLSTM, recurrent dropout",
        "Python loop over the packed batch sizes",
        lambda: _stanza("PackedLSTM", rec_dropout=0.1),
        {"input": "float32[N, T, 6]", "lengths": "int64[N] in 1..T descending"},
    ),
    Model(
        "opennmt-py",
        "RNNEncoder",
        "embedding, lengths unsorted and as a list, bridge",
        _onmt,
        {"src": "int64[N, T] in 0..11", "src_len": "int64[N] in 1..T"},
    ),
    Model(
        "joeynmt",
        "RecurrentEncoder",
        "packed, checks on shapes, last states of both directions",
        _joey,
        {"src_embed": "float32[N, T, 6]", "src_length": "int64[N] in 1..T descending", "mask": "bool[N, 1, T]"},
    ),
    Model(
        "fastNLP",
        "LSTM, with lengths",
        "sorts, packs and unsorts inside; total_length",
        _fastnlp,
        {"x": "float32[N, T, 6]", "seq_len": "int64[N] in 1..T"},
        gap="it leaves h_n sorted by length, and the order of equal lengths to an unstable sort; `verify` finds that",
    ),
    Model(
        "fastNLP",
        "VarLSTM",
        "Python loop over LSTM cells, both directions",
        _fastnlp_variational,
        {"x": "float32[N, T, 6]"},
    ),
    Model(
        "sentence-transformers",
        "LSTM",
        "dictionary in and out, packed, unsorted",
        _sentence_lstm,
        {"features.token_embeddings": "float32[N, T, 6]", "features.sentence_lengths": "int64[N] in 1..T"},
    ),
    Model(
        "diaparser",
        "CharLSTM",
        "boolean indexing, packs what remains",
        _diaparser,
        {"x": "int64[N, T, 5] in 1..11"},
    ),
    Model(
        "pytorch-widedeep",
        "AttentiveRNN",
        "attention over all steps",
        lambda: _widedeep("AttentiveRNN"),
        {"X": "int64[N, T] in 0..11"},
    ),
    Model(
        "pytorch-nlp",
        "WeightDropLSTM",
        "recurrent weights assigned in forward",
        _torchnlp,
        {"input": "float32[T, N, 6]"},
    ),
    Model(
        "fastai",
        "AWD_LSTM",
        "recurrent weights assigned in forward; state kept between calls",
        _awd,
        {"inp": "int64[N, T] in 0..11"},
    ),
)
