"""Which form a recurrent layer takes in ONNX: its own operator or a Scan, by kind of layer and target.

Every entry of the table says what was measured, or where it is written, that made it so. `docs/lowering.md` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

Form = Literal["native", "scan"]
Lowering = Literal["auto", "native", "scan"]
Target = Literal["cpu", "cuda", "webgpu", "web", "openvino", "portable"]
Forms = Mapping[str, Form]

FORMS: tuple[Form, ...] = get_args(Form)
LOWERINGS: tuple[Lowering, ...] = get_args(Lowering)
TARGETS: tuple[Target, ...] = get_args(Target)
KINDS = ("rnn_tanh", "rnn_relu", "gru", "lstm")


@dataclass(frozen=True)
class Entry:
    """The form that is taken, and why: a measurement with its sizes, or a source."""

    form: Form
    why: str


@dataclass(frozen=True)
class Timing:
    """One size that was tried on this machine: milliseconds of a run, for each choice of forms."""

    sizes: Mapping[str, int]
    milliseconds: Mapping[str, float]

    def __str__(self) -> str:
        at = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
        return f"Timed at {at}: {', '.join(f'{forms} {ms:.3g} ms' for forms, ms in self.milliseconds.items())}."


@dataclass(frozen=True)
class Choice:
    """What an exported file was written for: the target, the form of each kind of layer in it, and what was timed."""

    target: str
    forms: Forms
    tuned: Sequence[Timing] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        return {"target": self.target, "forms": dict(self.forms), "tuned": [vars(timing) for timing in self.tuned]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Choice:
        return cls(data["target"], data["forms"], tuple(Timing(**timing) for timing in data["tuned"]))


# Milliseconds of a run, one thread, medians, ONNX Runtime 1.32; sizes are T N I H L.
_RNN_CPU = Entry("scan", "35 32 100 256 4: Scan 10.5 ms, RNN 25.1 ms; 1000 1 64 128 1: 1.67 ms, 2.58 ms")
_RNN_CPU_STEPS = Entry("native", "1 1 100 256 4: RNN 0.035 ms, Scan 0.055 ms")
_GRU_CPU = Entry("native", "1000 1 64 128 1: GRU 3.0 ms, Scan 7.5 ms; 35 32 100 256 4: 35.6 ms, 35.0 ms")
_LSTM_CPU = Entry("native", "35 32 100 256 4: LSTM 42.7 ms, Scan 45.7 ms; 1000 1 64 128 1: 3.4 ms, 9.0 ms")
# Every form is proved in ONNX Runtime on the CPU, whatever its target.
_FLOAT64 = Entry("scan", "ONNX Runtime has no float64 kernel of RNN, and those of GRU and LSTM raise")

TABLE: Mapping[Target, Mapping[str, Entry]] = MappingProxyType(
    {"cpu": {"rnn_tanh": _RNN_CPU, "rnn_relu": _RNN_CPU, "gru": _GRU_CPU, "lstm": _LSTM_CPU, "float64": _FLOAT64}}
)

# Where a stream is fed step by step, another form may be the faster one.
STEPPED: Mapping[Target, Mapping[str, Entry]] = MappingProxyType(
    {"cpu": {"rnn_tanh": _RNN_CPU_STEPS, "rnn_relu": _RNN_CPU_STEPS}}
)


def forms_for(lowering: Lowering, target: Target, *, stateful: bool) -> Forms:
    """The form of each kind of layer; under "float64" that of every layer in float64, where it differs."""
    if lowering != "auto":
        return dict.fromkeys(KINDS, lowering)
    entries = {**TABLE[target], **(STEPPED.get(target, {}) if stateful else {})}
    return {kind: entry.form for kind, entry in entries.items()}
