"""The table of forms: how each kind of recurrent layer is written to ONNX for each target, and why.

`docs/internals/lowering.md` shows it. Milliseconds are medians of a run in float32; sizes are T N I H L.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import InputError
from ..spec.forms import Form, Forms, Lowering, Target

# What any file can have; "step" is only for streams.
FORMS: tuple[Form, ...] = ("native", "scan")
KINDS = ("rnn_tanh", "rnn_relu", "gru", "lstm")

# What a loop may compute, in an operator of ONNX Runtime (contrib), of ONNX (standard), or as it stands.
LINEAR_ATTENTION = "linear_attention"
LINEAR_FORMS: tuple[Form, ...] = ("contrib", "scan")

# A depthwise convolution over what came before, in a stream: ONNX's Conv, or an operator of ONNX Runtime with a state.
CAUSAL_CONVOLUTION = "causal_convolution"
CONVOLUTION_FORMS: tuple[Form, ...] = ("native", "contrib")

# Targets that are not ONNX Runtime, and so have none of its operators.
_OTHER_RUNTIMES: tuple[Target, ...] = ("openvino", "portable")

# ONNX's own operator for it came with this opset.
STANDARD_OPSET = 27


@dataclass(frozen=True)
class Entry:
    """A form, and why it is taken: a measurement with its sizes, or a source."""

    form: Form
    why: str


# "rnn" is rnn_tanh and rnn_relu. "lengths" is every layer over packed sequences, whatever its kind. "loop" is what any
# other loop over time became.
_WHOLE: Mapping[Target, Mapping[str, Entry]] = {
    # ONNX Runtime 1.32, one thread.
    "cpu": {
        "rnn": Entry("scan", "35 32 100 256 4: Scan 10.5 ms, RNN 25.1 ms; 1000 1 64 128 1: 1.67 ms, 2.58 ms"),
        "gru": Entry("native", "1000 1 64 128 1: GRU 3.0 ms, Scan 7.5 ms; 35 32 100 256 4: 35.6 ms, 35.0 ms"),
        "lstm": Entry("native", "35 32 100 256 4: LSTM 42.7 ms, Scan 45.7 ms; 1000 1 64 128 1: 3.4 ms, 9.0 ms"),
    },
    # NVIDIA H200, ONNX Runtime 1.31.1, inputs and outputs in its memory. A GPU runs one kernel per node and step of a
    # Scan, whose loop stays on the CPU.
    "cuda": {
        "rnn_tanh": Entry("native", "35 32 100 256 4: RNN 2.4 ms, Scan 3.7 ms; 1000 1 64 128 1: 10.7 ms, 20.4 ms"),
        "rnn_relu": Entry(
            "scan",
            "35 32 100 256 4: Scan 4.6 ms, RNN with Relu, which stays on the CPU, 8.8 ms; "
            "but 1000 1 64 128 1: 28 ms, 1.8 ms",
        ),
        "gru": Entry("native", "35 32 100 256 4: GRU 2.3 ms, Scan 9.8 ms; 1000 1 64 128 1: 10.9 ms, 68 ms"),
        "lstm": Entry("native", "35 32 100 256 4: LSTM 2.3 ms, Scan 10.1 ms; 1000 1 64 128 1: 11.2 ms, 69 ms"),
    },
    "webgpu": {
        "rnn": Entry(
            "scan",
            "WebGPU has no RNN: 1.27 (Python) runs it on the CPU, and of a Scan every MatMul, Gemm and Tanh on WebGPU",
        ),
        "gru": Entry(
            "native",
            "onnxruntime-web 1.30 runs GRU on WebGPU and no node on the CPU; a Scan's loop is on the CPU "
            "(1.27: GRU is too)",
        ),
        "lstm": Entry("native", "1.27 and 1.30 run LSTM on WebGPU and no node on the CPU; a Scan's loop is on the CPU"),
    },
    # onnxruntime-web 1.30, WebAssembly, one thread.
    "web": {
        "rnn": Entry("scan", "35 32 100 256 4: Scan 39.5 ms, RNN 53.5 ms; 1000 1 64 128 1: 3.2 ms, 5.0 ms"),
        "gru": Entry("native", "35 32 100 256 4: GRU 115 ms, Scan 122 ms; 1000 1 64 128 1: 5.8 ms, 11.3 ms"),
        "lstm": Entry("native", "35 32 100 256 4: LSTM 156 ms, Scan 161 ms; 1000 1 64 128 1: 8.0 ms, 14.5 ms"),
    },
    # OpenVINO 2026.4, one thread.
    "openvino": {
        "rnn": Entry("native", "1000 1 64 128 1: RNN 1.67 ms, Scan 7.8 ms; 35 32 100 256 4: 13.1 ms, 13.0 ms"),
        "gru": Entry("native", "1000 1 64 128 1: GRU 3.9 ms, Scan 13.2 ms; 35 32 100 256 4: 34.4 ms, 37.1 ms"),
        "lstm": Entry("native", "1000 1 64 128 1: LSTM 4.1 ms, Scan 17.3 ms; 35 32 100 256 4: 42.0 ms, 49.2 ms"),
        "lengths": Entry("scan", "OpenVINO ignores sequence_lens of RNN, GRU and LSTM: wrong by up to 1, in silence"),
    },
    "portable": {
        **dict.fromkeys(
            ("rnn_tanh", "gru", "lstm"),
            Entry(
                "scan",
                "tract aborts on RNN, GRU and LSTM without initial states where N is symbolic; "
                "a Scan was wrong nowhere",
            ),
        ),
        "rnn_relu": Entry("scan", "tract computes Tanh where RNN says Relu, in silence; onnx.reference refuses Relu"),
        "lengths": Entry("scan", "OpenVINO and onnx.reference ignore sequence_lens, in silence; tract refuses it"),
    },
}

# Where a stream is fed step by step, these take the place of the entries above.
_STEPPED: Mapping[Target, Mapping[str, Entry]] = {
    "cpu": {
        "rnn": Entry("step", "1 1 100 256 4: step 0.034 ms (as plain session 0.039), RNN 0.046 ms, Scan 0.046 ms"),
        CAUSAL_CONVOLUTION: Entry("contrib", "1 1 1024 4: CausalConvWithState 0.0087 ms, Conv 0.0755 ms"),
        "loop": Entry("step", "a Mamba block at d_model 64: step 0.016 ms, Scan 0.029 ms"),
    },
    "cuda": {
        "rnn_tanh": Entry("scan", "1 1 100 256 4: Scan 0.155 ms, RNN 0.177 ms; 1 1 100 1024 2: 0.094 ms, 0.108 ms")
    },
    "web": {"rnn": Entry("native", "1 1 100 256 4: RNN 0.084 ms, Scan 0.090 ms")},
}

# Loops whose state is one of linear attention: T N, heads and their size. ONNX Runtime 1.32, one thread.
_UNMEASURED = Entry(
    "scan", "what ONNX Runtime's LinearAttention does there was not measured; --lowering contrib takes it"
)
_FOREIGN = Entry("scan", "LinearAttention of com.microsoft is an operator of ONNX Runtime, ONNX's own one of opset 27")
_LINEAR: Mapping[Target, Entry] = {
    "cpu": Entry("contrib", "256 1 8 64: LinearAttention 1.6 ms, Scan 12.2 ms; 1 1 8 64: 0.036 ms, 0.083 ms"),
    **dict.fromkeys(("cuda", "webgpu", "web"), _UNMEASURED),
    **dict.fromkeys(_OTHER_RUNTIMES, _FOREIGN),
}

# Causal depthwise convolutions: T N, channels and their taps.
_CONVOLUTION: Mapping[Target, Entry] = {
    "cpu": Entry("native", "256 1 1024 4: Conv 0.16 ms, CausalConvWithState 0.35 ms"),
    **dict.fromkeys(
        ("cuda", "webgpu", "web"),
        Entry("native", "what ONNX Runtime's CausalConvWithState does there was not measured"),
    ),
    **dict.fromkeys(
        _OTHER_RUNTIMES, Entry("native", "CausalConvWithState of com.microsoft is an operator of ONNX Runtime")
    ),
}

# Every layer in float64, whatever its kind and target: each file is verified in ONNX Runtime on the CPU.
_FLOAT64 = Entry("scan", "ONNX Runtime has no float64 kernel of RNN, and those of GRU and LSTM raise")


def _by_kind(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    kinds = {"rnn": ("rnn_tanh", "rnn_relu")}
    return {kind: entry for name, entry in entries.items() for kind in kinds.get(name, (name,))}


TABLE: Mapping[Target, Mapping[str, Entry]] = MappingProxyType(
    {
        target: {
            **_by_kind(entries),
            LINEAR_ATTENTION: _LINEAR[target],
            CAUSAL_CONVOLUTION: _CONVOLUTION[target],
            "float64": _FLOAT64,
        }
        for target, entries in _WHOLE.items()
    }
)
STEPPED: Mapping[Target, Mapping[str, Entry]] = MappingProxyType(
    {target: _by_kind(entries) for target, entries in _STEPPED.items()}
)

# With int8 weights. Of ONNX's own operators only LSTM has such a form: an operator of ONNX Runtime.
_INT8_SCAN: Forms = dict.fromkeys(KINDS, "scan")
INT8: Mapping[Target, Forms] = MappingProxyType({"cpu": {**_INT8_SCAN, "lstm": "native"}, "portable": _INT8_SCAN})


def check_lowering(lowering: Lowering, target: Target, opset: int) -> None:
    """Reject a form that a target or an opset does not have.

    Raises:
        InputError: ONNX Runtime's operators are asked for where another runtime is to run the file, or ONNX's own
            LinearAttention at an earlier opset.
    """
    if lowering == "contrib" and target in _OTHER_RUNTIMES:
        raise InputError(
            f"The lowering contrib writes operators of ONNX Runtime (com.microsoft), and a file for {target} is to run "
            "elsewhere. Take the lowering scan, or another target."
        )
    if lowering == "standard" and opset < STANDARD_OPSET:
        raise InputError(
            f"ONNX has LinearAttention from opset {STANDARD_OPSET} on, and the opset is {opset}. Give opset "
            f"{STANDARD_OPSET}, or take ONNX Runtime's own with the lowering contrib."
        )


def forms_for(lowering: Lowering, target: Target, *, stateful: bool, int8: bool = False) -> Forms:
    """The form of each kind of layer; under "float64" and "lengths" that of all such layers, where it differs.

    Raises:
        InputError: int8 weights do not run on the target.
    """
    if int8 and target not in INT8:
        raise InputError(
            f"int8 weights were not tried on {target}. Choose the target {' or '.join(INT8)}, or leave out `quantize`."
        )
    table = {kind: entry.form for kind, entry in TABLE[target].items()}
    stepped = {kind: entry.form for kind, entry in STEPPED.get(target, {}).items()} if stateful else {}
    loops: Forms = {
        LINEAR_ATTENTION: lowering if lowering in ("scan", "contrib", "standard") else table[LINEAR_ATTENTION],
        CAUSAL_CONVOLUTION: _form_of_convolutions(lowering, {**table, **stepped}, stateful=stateful),
    }
    if lowering in ("native", "scan"):
        return {**dict.fromkeys(KINDS, lowering), **loops}
    return {**(INT8[target] if int8 else {**table, **stepped}), **loops}


def _form_of_convolutions(lowering: Lowering, table: Forms, *, stateful: bool) -> Form:
    """ONNX Runtime has one for a stream; it runs ONNX's own, of opset 27, as the `Conv` that it stands for."""
    if lowering == "auto":
        return table[CAUSAL_CONVOLUTION]
    return "contrib" if lowering == "contrib" and stateful else "native"


def forms_of(kind: str, *, int8: bool, stateful: bool = False) -> tuple[Form, ...]:
    """The forms that a kind of layer can take."""
    if kind == LINEAR_ATTENTION:
        return LINEAR_FORMS
    if kind == CAUSAL_CONVOLUTION:
        return CONVOLUTION_FORMS
    if kind == "loop":
        return ("scan", "step") if stateful and not int8 else ("scan",)
    if int8:
        return FORMS if kind == "lstm" else ("scan",)
    return (*FORMS, "step") if stateful else FORMS


def forms_to_time(kind: str, target: Target, opset: int, *, int8: bool, stateful: bool) -> tuple[Form, ...]:
    """The forms that tuning chooses among: those that the target and the opset have."""
    forms = forms_of(kind, int8=int8, stateful=stateful)
    standard: tuple[Form, ...] = ("standard",) if kind == LINEAR_ATTENTION and opset >= STANDARD_OPSET else ()
    return tuple(form for form in (*forms, *standard) if form != "contrib" or target not in _OTHER_RUNTIMES)
