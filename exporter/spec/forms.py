"""The forms of a recurrent layer (an operator, a Scan, a step), and the targets a file can be for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

Form = Literal["native", "scan", "step", "contrib", "standard"]
Lowering = Literal["auto", "native", "scan", "contrib", "standard"]
Target = Literal["cpu", "cuda", "webgpu", "web", "openvino", "portable"]
Forms = Mapping[str, Form]
Kind = Annotated[str, Meta(pattern="^(rnn_tanh|rnn_relu|gru|lstm|linear_attention|causal_convolution|loop)$")]
LOWERINGS: tuple[Lowering, ...] = get_args(Lowering)
TARGETS: tuple[Target, ...] = get_args(Target)


class Timing(Struct, frozen=True, forbid_unknown_fields=True):
    """One size that was timed on the machine that exported: milliseconds of a run, for each choice of forms."""

    sizes: Mapping[str, Annotated[int, Meta(ge=1)]]
    milliseconds: Mapping[str, Annotated[float, Meta(ge=0)]]

    def __str__(self) -> str:
        at = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
        return f"Timed at {at}: {', '.join(f'{forms} {ms:.3g} ms' for forms, ms in self.milliseconds.items())}."


class LoweringChoice(Struct, frozen=True, forbid_unknown_fields=True):
    """What an exported file was written for: the target, the form of each kind of layer in it, and what was timed.

    "loop" is every loop over time of a stream that is not a layer.
    """

    target: Target
    forms: Mapping[Kind, Form]
    tuned: tuple[Timing, ...]


def unrolls(forms: Forms) -> bool:
    """Whether a stream whose layers have these forms has a second graph, for one step."""
    return "step" in forms.values()
