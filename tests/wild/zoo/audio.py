"""Speech and music: encoders over spectrograms, separation, enhancement, synthesis."""

from __future__ import annotations

import torch
from torch import nn

from ..model import Model, Pinned
from ..stubs import bare


def _resemblyzer() -> nn.Module:
    bare("resemblyzer")
    from resemblyzer.voice_encoder import VoiceEncoder

    return VoiceEncoder("cpu")


def _openunmix(unidirectional: bool) -> nn.Module:
    bare("openunmix")
    from openunmix.model import OpenUnmix

    return OpenUnmix(nb_bins=20, nb_channels=2, hidden_size=16, nb_layers=2, unidirectional=unidirectional)


def _asteroid_dprnn() -> nn.Module:
    bare("asteroid", "asteroid.masknn")
    from asteroid.masknn.recurrent import DPRNN

    return DPRNN(in_chan=8, n_src=2, bn_chan=8, hid_size=6, chunk_size=6, n_repeats=2)


def _asteroid_mulcat() -> nn.Module:
    bare("asteroid", "asteroid.masknn")
    from asteroid.masknn.recurrent import MulCatRNN

    return MulCatRNN("LSTM", 8, 6, bidirectional=True)


def _asteroid_dccrn() -> nn.Module:
    bare("asteroid", "asteroid.masknn")
    from asteroid.masknn.recurrent import StackedResidualBiRNN

    return StackedResidualBiRNN("GRU", 8, n_layers=3)


def _speechbrain(kind: str, **options: object) -> nn.Module:
    from speechbrain.nnet import RNN

    return getattr(RNN, kind)(hidden_size=8, input_shape=(4, 10, 6), **options)


def _speechbrain_decoder() -> nn.Module:
    from speechbrain.nnet.RNN import AttentionalRNNDecoder

    return AttentionalRNNDecoder("gru", "content", 8, 7, 1, 6, 5)


def _speechbrain_crdnn() -> nn.Module:
    from speechbrain.lobes.models.CRDNN import CRDNN

    return CRDNN(input_shape=(4, 10, 20), cnn_blocks=2, cnn_channels=(4, 4), rnn_layers=2, rnn_neurons=8, dnn_neurons=8)


def _denoiser() -> nn.Module:
    bare("denoiser")
    from denoiser.demucs import Demucs

    return Demucs(hidden=4, depth=3)


def _demucs() -> nn.Module:
    bare("demucs")
    from demucs.demucs import Demucs

    return Demucs(
        ["voice", "rest"], audio_channels=1, channels=4, depth=2, lstm_layers=2, resample=False, norm_starts=9
    )


def _demucs_blstm() -> nn.Module:
    bare("demucs")
    from demucs.demucs import BLSTM

    return BLSTM(8, layers=2, max_steps=12, skip=True)


def _torchaudio(name: str, *args: object, **options: object) -> nn.Module:
    import importlib

    module, _, kind = name.partition(":")
    return getattr(importlib.import_module(f"torchaudio.models.{module}"), kind)(*args, **options)


def _coqui_speaker() -> nn.Module:
    bare("TTS", "TTS.encoder", "TTS.encoder.models")
    from TTS.encoder.models.lstm import LSTMSpeakerEncoder

    return LSTMSpeakerEncoder(input_dim=10, proj_dim=6, lstm_dim=8, num_lstm_layers=2)


def _coqui_encoder() -> nn.Module:
    bare("TTS", "TTS.tts", "TTS.tts.layers")
    from TTS.tts.layers.tacotron.tacotron2 import Encoder

    return Encoder(8)


def _coqui_cbhg() -> nn.Module:
    bare("TTS", "TTS.tts", "TTS.tts.layers")
    from TTS.tts.layers.tacotron.tacotron import EncoderCBHG

    return EncoderCBHG()


def _coqui_gst() -> nn.Module:
    bare("TTS", "TTS.tts", "TTS.tts.layers")
    from TTS.tts.layers.tacotron.gst_layers import ReferenceEncoder

    return ReferenceEncoder(num_mel=16, embedding_dim=8)


def _coqui_decoder() -> nn.Module:
    bare("TTS", "TTS.tts", "TTS.tts.layers")
    from TTS.tts.layers.tacotron.tacotron2 import Decoder

    return Decoder(
        in_channels=8,
        frame_channels=5,
        r=1,
        attn_type="original",
        attn_win=False,
        attn_norm="softmax",
        prenet_type="original",
        prenet_dropout=False,
        forward_attn=False,
        trans_agent=False,
        forward_attn_mask=False,
        location_attn=True,
        attn_K=4,
        separate_stopnet=True,
        max_decoder_steps=10,
    )


def _espnet_encoder(**options: object) -> nn.Module:
    from espnet2.asr.encoder.rnn_encoder import RNNEncoder

    return RNNEncoder(input_size=6, hidden_size=7, output_size=5, num_layers=2, **options)


def _espnet_dprnn() -> nn.Module:
    from espnet2.enh.layers.dprnn import DPRNN

    return DPRNN("LSTM", 6, 7, 5, num_layers=2)


def _espnet_skim() -> nn.Module:
    from espnet2.enh.layers.skim import SkiM

    return SkiM(6, 7, 5, num_blocks=2, segment_size=4)


def _espnet_lm() -> nn.Module:
    from espnet2.lm.seq_rnn_lm import SequentialRNNLM

    return SequentialRNNLM(vocab_size=12, unit=8, nlayers=2)


def _nemo_lstm() -> nn.Module:
    bare("nemo", "nemo.collections", "nemo.collections.common", "nemo.collections.common.parts")
    from nemo.collections.common.parts.rnn import rnn

    return rnn(6, 7, 2, norm="layer")


def _deepfilter_gru() -> nn.Module:
    bare("df")
    from df.modules import SqueezedGRU

    return SqueezedGRU(16, 16, output_size=16, num_layers=2, linear_groups=4)


def _deepfilter_grouped() -> nn.Module:
    bare("df")
    from df.modules import GroupedGRU

    return GroupedGRU(16, 16, num_layers=2, groups=2)


def _encodec() -> nn.Module:
    from transformers.models.encodec.configuration_encodec import EncodecConfig
    from transformers.models.encodec.modeling_encodec import EncodecEncoder

    return EncodecEncoder(EncodecConfig(num_filters=4, hidden_size=8, upsampling_ratios=[2, 2], num_lstm_layers=2))


def _silero() -> nn.Module:
    from silero_vad import load_silero_vad

    return Pinned(load_silero_vad(), sr=16000)


MODELS = (
    Model("resemblyzer", "VoiceEncoder", "three LSTM layers, pretrained", _resemblyzer, {"mels": "float32[N, T, 40]"}),
    Model(
        "openunmix",
        "OpenUnmix",
        "batch norm over T x N, bidirectional",
        lambda: _openunmix(False),
        {"x": "float32[N, 2, 20, T]"},
    ),
    Model(
        "asteroid",
        "DPRNN",
        "unfold into chunks, RNN within and across them, fold",
        _asteroid_dprnn,
        {"mixture_w": "float32[N, 8, T]"},
    ),
    Model(
        "asteroid",
        "MulCatRNN",
        "two parallel bidirectional LSTMs multiplied",
        _asteroid_mulcat,
        {"inp": "float32[N, T, 8]"},
    ),
    Model(
        "speechbrain",
        "RNN",
        "two bidirectional layers",
        lambda: _speechbrain("RNN", num_layers=2, bidirectional=True),
        {"x": "float32[N, T, 6]"},
    ),
    Model(
        "speechbrain",
        "LSTM",
        "two bidirectional layers",
        lambda: _speechbrain("LSTM", num_layers=2, bidirectional=True),
        {"x": "float32[N, T, 6]"},
    ),
    Model("speechbrain", "GRU", "two layers", lambda: _speechbrain("GRU", num_layers=2), {"x": "float32[N, T, 6]"}),
    Model(
        "speechbrain",
        "LSTM, with lengths",
        "packs inside; lengths relative to T",
        lambda: _speechbrain("LSTM", num_layers=2, bidirectional=True),
        {"x": "float32[N, T, 6]", "lengths": "float32[N]"},
        lambda: {"x": torch.randn(5, 7, 6), "lengths": torch.tensor([1.0, 0.8, 0.5, 0.3, 0.6])},
    ),
    Model(
        "speechbrain",
        "LiGRU",
        "custom gated cell, Python loop over T, batch norm",
        lambda: _speechbrain("LiGRU", num_layers=2, bidirectional=True),
        {"x": "float32[N, T, 6]"},
    ),
    Model(
        "speechbrain",
        "QuasiRNN",
        "convolution-like gates, Python loop over T",
        lambda: _speechbrain("QuasiRNN", num_layers=2),
        {"x": "float32[N, T, 6]"},
    ),
    Model(
        "speechbrain",
        "AttentionalRNNDecoder",
        "teacher-forced attention decoder, two lengths",
        _speechbrain_decoder,
        {"inp_tensor": "float32[N, T, 5]", "enc_states": "float32[N, S, 6]", "wav_len": "float32[N]"},
        lambda: {
            "inp_tensor": torch.randn(3, 7, 5),
            "enc_states": torch.randn(3, 5, 6),
            "wav_len": torch.tensor([1.0, 0.6, 0.8]),
        },
    ),
    Model(
        "speechbrain",
        "CRDNN",
        "convolutions and pooling, then LiGRU, then dense",
        _speechbrain_crdnn,
        {"x": "float32[N, T, 20]"},
    ),
    Model(
        "denoiser",
        "Demucs",
        "strided convolutions, padding by T, LSTM, transposed convolutions",
        _denoiser,
        {"mix": "float32[N, 1, T]"},
        lambda: {"mix": torch.randn(3, 1, 300)},
    ),
    Model(
        "demucs",
        "Demucs",
        "strided convolutions, BiLSTM, transposed convolutions",
        _demucs,
        {"mix": "float32[N, 1, T]"},
        lambda: {"mix": torch.randn(3, 1, 300)},
    ),
    Model(
        "demucs",
        "BLSTM",
        "overlapping frames chosen by comparing T",
        _demucs_blstm,
        {"x": "float32[N, 8, T]"},
    ),
    Model(
        "torchaudio",
        "DeepSpeech",
        "bidirectional ReLU RNN",
        lambda: _torchaudio("deepspeech:DeepSpeech", 6, n_hidden=8, n_class=5),
        {"x": "float32[N, 1, T, 6]"},
    ),
    Model(
        "torchaudio",
        "_CustomLSTM",
        "layer-normalised LSTM over unbind(0)",
        lambda: _torchaudio("rnnt:_CustomLSTM", 6, 7, layer_norm=True),
        {"input": "float32[T, N, 6]", "state.0": "float32[N, 7]", "state.1": "float32[N, 7]"},
    ),
    Model(
        "torchaudio",
        "WaveRNN",
        "convolutional upsampling, then two GRUs",
        lambda: _torchaudio(
            "wavernn:WaveRNN", [2, 2], 8, 4, n_res_block=1, n_rnn=8, n_fc=8, n_freq=6, n_hidden=6, n_output=8
        ),
        {"waveform": "float32[N, 1, 4*(T-4)]", "specgram": "float32[N, 1, 6, T]"},
    ),
    Model(
        "torchaudio",
        "Tacotron2 encoder",
        "convolutions, packed BiLSTM",
        lambda: _torchaudio("tacotron2:_Encoder", 8, 2, 5),
        {"x": "float32[N, 8, T]", "input_lengths": "int64[N] in 1..T descending"},
    ),
    Model("coqui-tts", "LSTMSpeakerEncoder", "LSTM and projection stacks", _coqui_speaker, {"x": "float32[N, 10, T]"}),
    Model(
        "coqui-tts",
        "Tacotron EncoderCBHG",
        "bank of convolutions, highway, bidirectional GRU",
        _coqui_cbhg,
        {"x": "float32[N, 128, T]"},
    ),
    Model(
        "coqui-tts",
        "ReferenceEncoder",
        "strided convolutions before a GRU, last state",
        _coqui_gst,
        {"inputs": "float32[N, T, 16]"},
        lambda: {"inputs": torch.randn(3, 150, 16)},
    ),
    Model(
        "coqui-tts",
        "Tacotron2 Decoder",
        "location-sensitive attention, two LSTM cells, teacher forcing",
        _coqui_decoder,
        {"inputs": "float32[N, S, 8]", "memories": "float32[N, T, 5]", "mask": "bool[N, S]"},
        lambda: {
            "inputs": torch.randn(3, 5, 8),
            "memories": torch.randn(3, 7, 5),
            "mask": torch.ones(3, 5, dtype=torch.bool),
        },
    ),
    Model(
        "espnet",
        "RNNEncoder",
        "packed BiLSTM, subsampling in time, projection, mask",
        lambda: _espnet_encoder(subsample=(2, 1)),
        {"xs_pad": "float32[N, T, 6]", "ilens": "int64[N] in 1..T descending"},
    ),
    Model("espnet", "DPRNN", "rows and columns of a 4-D tensor", _espnet_dprnn, {"input": "float32[N, 6, S, T]"}),
    Model(
        "espnet",
        "SequentialRNNLM",
        "embedding, LSTM, tied decoder",
        _espnet_lm,
        {"input": "int64[N, T] in 0..11", "hidden.0": "float32[2, N, 8]", "hidden.1": "float32[2, N, 8]"},
    ),
    Model(
        "nemo-toolkit",
        "LNLSTM",
        "layer-normalised LSTM, scripted",
        _nemo_lstm,
        {
            "input": "float32[T, N, 6]",
            "states.0.0": "float32[N, 7]",
            "states.0.1": "float32[N, 7]",
            "states.1.0": "float32[N, 7]",
            "states.1.1": "float32[N, 7]",
        },
    ),
    Model(
        "deepfilternet",
        "SqueezedGRU",
        "grouped linear layers around a GRU",
        _deepfilter_gru,
        {"input": "float32[N, T, 16]"},
    ),
    Model(
        "transformers",
        "EncodecEncoder",
        "padded strided convolutions, residual LSTM",
        _encodec,
        {"hidden_states": "float32[N, 1, T]"},
        lambda: {"hidden_states": torch.randn(3, 1, 100)},
    ),
    Model(
        "silero-vad",
        "silero_vad",
        "TorchScript with state as attribute",
        _silero,
        {"x": "float32[N, 512]"},
    ),
)
