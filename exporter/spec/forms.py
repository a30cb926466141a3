"""The forms of a recurrent layer in ONNX (its own operator, a Scan, a step), and the targets a file can be for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Form = Literal["native", "scan", "step"]
Lowering = Literal["auto", "native", "scan"]
Target = Literal["cpu", "cuda", "webgpu", "web", "openvino", "portable"]
Forms = Mapping[str, Form]
LOWERINGS: tuple[Lowering, ...] = get_args(Lowering)
TARGETS: tuple[Target, ...] = get_args(Target)


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a run at one size on this machine, for each choice of forms."""

    sizes: Mapping[str, int]
    milliseconds: Mapping[str, float]

    def __str__(self) -> str:
        at = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
        return f"Timed at {at}: {', '.join(f'{forms} {ms:.3g} ms' for forms, ms in self.milliseconds.items())}."


@dataclass(frozen=True)
class LoweringChoice:
    """The target that a file was written for, the form of each kind of layer in it, and the timings that chose it."""

    target: str
    forms: Forms
    tuned: Sequence[Timing] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        return {"target": self.target, "forms": dict(self.forms), "tuned": [vars(timing) for timing in self.tuned]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LoweringChoice:
        return cls(data["target"], data["forms"], tuple(Timing(**timing) for timing in data["tuned"]))


def unrolls(forms: Forms) -> bool:
    """Whether a stream whose layers have these forms has a second graph, for one step."""
    return "step" in forms.values()
