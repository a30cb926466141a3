"""What a bundle records about a model file: how it was made, and what verification found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .forms import LoweringChoice, unrolls
from .precision import Precision
from .streams import StreamSpec


@dataclass(frozen=True)
class FileEntry:
    """A file's size and content hash."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """One exported model file: how it was made, the runtime that proves it, and the proof (None if not verified).

    `bounds` are sizes that the capture took for bounds, such as `{"T": {"max": 300}}`; cases lie at and beyond them.
    `stream` says how a file with explicit states is fed in chunks: its inputs are the model's and those states.
    `precision` says what smaller weights cost; None where they are the model's own.
    `lowering` says what an ONNX file was written for, and is None for TorchScript.
    """

    runtime: str
    made_by: str
    opset: int | None
    bounds: Mapping[str, Mapping[str, int]]
    parity: Mapping[str, Any] | None
    stream: StreamSpec | None = None
    lowering: LoweringChoice | None = None
    precision: Precision | None = None

    @property
    def bound(self) -> float:
        """What parity allows for smaller weights, relative to an output's scale; 0 where they are the model's own."""
        return 0.0 if self.precision is None else self.precision.allowance

    @property
    def unrolls(self) -> bool:
        """Whether the file is a stream's, and has a graph for one step besides."""
        return self.stream is not None and self.lowering is not None and unrolls(self.lowering.forms)

    def to_json(self) -> dict[str, Any]:
        return {
            **vars(self),
            "stream": self.stream and self.stream.to_json(),
            "precision": self.precision and self.precision.to_json(),
            "lowering": self.lowering and self.lowering.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Artifact:
        stream, precision, lowering = data["stream"], data["precision"], data["lowering"]
        return cls(
            **{
                **data,
                "stream": stream and StreamSpec.from_json(stream),
                "precision": precision and Precision.from_json(precision),
                "lowering": lowering and LoweringChoice.from_json(lowering),
            }
        )
