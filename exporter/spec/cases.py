"""What a bundle records about its stored cases, and about what each output usually is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

Values = Literal["ordinary", "zero", "saturating", "denormal", "infinite", "nan", "longest", "shorter", "shortest"]


class Baseline(Struct, frozen=True, forbid_unknown_fields=True):
    """An output's medians over the ordinary cases: the largest value, and PyTorch's own error relative to it."""

    scale: float
    error: float


class StoredCase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A case in `cases.safetensors`: its sizes, how its values were drawn, and how far off PyTorch itself is."""

    name: str
    sizes: Mapping[str, int]
    values: Values
    seed: int
    eager_error: Annotated[
        Mapping[str, float],
        Meta(description="Per output, the largest error of PyTorch in the model's own precision against float64."),
    ]
