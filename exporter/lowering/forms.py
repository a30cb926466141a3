"""Which form a recurrent layer takes in ONNX: its own operator, a Scan or a step, by kind of layer and target.

Every entry of the table says what was measured, or where it is written, that made it so. `docs/lowering.md` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import InputError
from ..spec.forms import Form, Forms, Lowering, Target

# What any file can have; "step" is for streams alone.
FORMS: tuple[Form, ...] = ("native", "scan")
KINDS = ("rnn_tanh", "rnn_relu", "gru", "lstm")


@dataclass(frozen=True)
class Entry:
    """The form that is taken, and why: a measurement with its sizes, or a source."""

    form: Form
    why: str


# Milliseconds of a run, one thread, medians, ONNX Runtime 1.32; sizes are T N I H L.
_RNN_CPU = Entry("scan", "35 32 100 256 4: Scan 10.5 ms, RNN 25.1 ms; 1000 1 64 128 1: 1.67 ms, 2.58 ms")
_RNN_CPU_STEPS = Entry("step", "1 1 100 256 4: step 0.034 ms (as plain session 0.039), RNN 0.046 ms, Scan 0.046 ms")
_GRU_CPU = Entry("native", "1000 1 64 128 1: GRU 3.0 ms, Scan 7.5 ms; 35 32 100 256 4: 35.6 ms, 35.0 ms")
_LSTM_CPU = Entry("native", "35 32 100 256 4: LSTM 42.7 ms, Scan 45.7 ms; 1000 1 64 128 1: 3.4 ms, 9.0 ms")

# Every form is proved in ONNX Runtime on the CPU, whatever its target.
_FLOAT64 = Entry("scan", "ONNX Runtime has no float64 kernel of RNN, and those of GRU and LSTM raise")

# NVIDIA H200, ONNX Runtime 1.31.1, float32, inputs and outputs in its memory. A GPU runs one kernel per node and step
# of a Scan, whose loop stays on the CPU.
_RNN_CUDA = Entry("native", "35 32 100 256 4: RNN 2.4 ms, Scan 3.7 ms; 1000 1 64 128 1: 10.7 ms, 20.4 ms")

_RELU_CUDA = Entry(
    "scan",
    "35 32 100 256 4: Scan 4.6 ms, RNN with Relu, which stays on the CPU, 8.8 ms; but 1000 1 64 128 1: 28 ms, 1.8 ms",
)

_RNN_CUDA_STEPS = Entry("scan", "1 1 100 256 4: Scan 0.155 ms, RNN 0.177 ms; 1 1 100 1024 2: 0.094 ms, 0.108 ms")
_GRU_CUDA = Entry("native", "35 32 100 256 4: GRU 2.3 ms, Scan 9.8 ms; 1000 1 64 128 1: 10.9 ms, 68 ms")
_LSTM_CUDA = Entry("native", "35 32 100 256 4: LSTM 2.3 ms, Scan 10.1 ms; 1000 1 64 128 1: 11.2 ms, 69 ms")

_RNN_WEBGPU = Entry(
    "scan",
    "WebGPU has no RNN: 1.27 (Python) runs it on the CPU, and of a Scan every MatMul, Gemm and Tanh on WebGPU",
)

_GRU_WEBGPU = Entry(
    "native",
    "onnxruntime-web 1.30 runs GRU on WebGPU and no node on the CPU; a Scan's loop is on the CPU (1.27: GRU is too)",
)

_LSTM_WEBGPU = Entry("native", "1.27 and 1.30 run LSTM on WebGPU and no node on the CPU; a Scan's loop is on the CPU")

# onnxruntime-web 1.30, WebAssembly, one thread.
_RNN_WEB = Entry("scan", "35 32 100 256 4: Scan 39.5 ms, RNN 53.5 ms; 1000 1 64 128 1: 3.2 ms, 5.0 ms")
_RNN_WEB_STEPS = Entry("native", "1 1 100 256 4: RNN 0.084 ms, Scan 0.090 ms")
_GRU_WEB = Entry("native", "35 32 100 256 4: GRU 115 ms, Scan 122 ms; 1000 1 64 128 1: 5.8 ms, 11.3 ms")
_LSTM_WEB = Entry("native", "35 32 100 256 4: LSTM 156 ms, Scan 161 ms; 1000 1 64 128 1: 8.0 ms, 14.5 ms")

# OpenVINO 2026.4, one thread, float32.
_RNN_OPENVINO = Entry("native", "1000 1 64 128 1: RNN 1.67 ms, Scan 7.8 ms; 35 32 100 256 4: 13.1 ms, 13.0 ms")
_GRU_OPENVINO = Entry("native", "1000 1 64 128 1: GRU 3.9 ms, Scan 13.2 ms; 35 32 100 256 4: 34.4 ms, 37.1 ms")
_LSTM_OPENVINO = Entry("native", "1000 1 64 128 1: LSTM 4.1 ms, Scan 17.3 ms; 35 32 100 256 4: 42.0 ms, 49.2 ms")
_LENGTHS_OPENVINO = Entry("scan", "OpenVINO ignores sequence_lens of RNN, GRU and LSTM: wrong by up to 1, in silence")

_PORTABLE = Entry(
    "scan", "tract aborts on RNN, GRU and LSTM without initial states where N is symbolic; a Scan was wrong nowhere"
)

_RELU_PORTABLE = Entry("scan", "tract computes Tanh where RNN says Relu, in silence; onnx.reference refuses Relu")
_LENGTHS_PORTABLE = Entry("scan", "OpenVINO and onnx.reference ignore sequence_lens, in silence; tract refuses it")

# "float64" and "lengths" (packed sequences) stand before a layer's kind, where a target has them.
TABLE: Mapping[Target, Mapping[str, Entry]] = MappingProxyType(
    {
        "cpu": {"rnn_tanh": _RNN_CPU, "rnn_relu": _RNN_CPU, "gru": _GRU_CPU, "lstm": _LSTM_CPU, "float64": _FLOAT64},
        "cuda": {
            "rnn_tanh": _RNN_CUDA,
            "rnn_relu": _RELU_CUDA,
            "gru": _GRU_CUDA,
            "lstm": _LSTM_CUDA,
            "float64": _FLOAT64,
        },
        "webgpu": {
            "rnn_tanh": _RNN_WEBGPU,
            "rnn_relu": _RNN_WEBGPU,
            "gru": _GRU_WEBGPU,
            "lstm": _LSTM_WEBGPU,
            "float64": _FLOAT64,
        },
        "web": {"rnn_tanh": _RNN_WEB, "rnn_relu": _RNN_WEB, "gru": _GRU_WEB, "lstm": _LSTM_WEB, "float64": _FLOAT64},
        "openvino": {
            "rnn_tanh": _RNN_OPENVINO,
            "rnn_relu": _RNN_OPENVINO,
            "gru": _GRU_OPENVINO,
            "lstm": _LSTM_OPENVINO,
            "float64": _FLOAT64,
            "lengths": _LENGTHS_OPENVINO,
        },
        "portable": {
            "rnn_tanh": _PORTABLE,
            "rnn_relu": _RELU_PORTABLE,
            "gru": _PORTABLE,
            "lstm": _PORTABLE,
            "float64": _FLOAT64,
            "lengths": _LENGTHS_PORTABLE,
        },
    }
)

# Where a stream is fed step by step, another form may be the faster one.
STEPPED: Mapping[Target, Mapping[str, Entry]] = MappingProxyType(
    {
        "cpu": {"rnn_tanh": _RNN_CPU_STEPS, "rnn_relu": _RNN_CPU_STEPS},
        "cuda": {"rnn_tanh": _RNN_CUDA_STEPS},
        "web": {"rnn_tanh": _RNN_WEB_STEPS, "rnn_relu": _RNN_WEB_STEPS},
    }
)

# With int8 weights. Of ONNX's own operators the LSTM alone has such a form, and that is an operator of ONNX Runtime.
_INT8_SCAN: Forms = dict.fromkeys(KINDS, "scan")
INT8: Mapping[Target, Forms] = MappingProxyType({"cpu": {**_INT8_SCAN, "lstm": "native"}, "portable": _INT8_SCAN})


def forms_for(lowering: Lowering, target: Target, *, stateful: bool, int8: bool = False) -> Forms:
    """The form of each kind of layer; under "float64" and "lengths" that of all such layers, where it differs.

    Raises:
        InputError: int8 weights do not run on the target.
    """
    if int8 and target not in INT8:
        raise InputError(
            f"int8 weights were not tried on {target}. Choose the target {' or '.join(INT8)}, or leave them out."
        )
    if lowering != "auto":
        return dict.fromkeys(KINDS, lowering)
    if int8:
        return INT8[target]
    entries = {**TABLE[target], **(STEPPED.get(target, {}) if stateful else {})}
    return {kind: entry.form for kind, entry in entries.items()}


def forms_of(kind: str, *, int8: bool, stateful: bool = False) -> tuple[Form, ...]:
    """The forms that a kind of layer can take."""
    if int8:
        return FORMS if kind == "lstm" else ("scan",)
    return (*FORMS, "step") if stateful else FORMS
