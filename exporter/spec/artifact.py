"""What a bundle records: where the model came from, each file, its stored cases, and what verification found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from .forms import LoweringChoice, unrolls
from .options import Finding, Precision
from .streams import StreamSpec

# "random" values are ordinary ones beside those of an example, which the ordinary ones are then cut from.
Values = Literal[
    "ordinary", "random", "zero", "saturating", "denormal", "infinite", "nan", "longest", "shorter", "shortest"
]


class StoredCase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A case in `cases.safetensors`: its sizes, and how its values were drawn."""

    name: str
    sizes: Mapping[str, int]
    values: Values
    seed: int


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a model came from, enough to build it again: what `load` was asked for, and "float16" if made that."""

    kind: Literal["builtin", "module", "file", "archive"]
    model: str
    arguments: Mapping[str, Any]
    seed: int
    precision: Literal["float16"] | None = None
    cases: Annotated[
        str | UnsetType,
        Meta(description="The function that made the inputs of the cases, which nothing runs without being told to."),
    ] = UNSET
    untrained: Annotated[
        int | UnsetType, Meta(description="How many parameters are as the seed drew them, where any are.")
    ] = UNSET

    @property
    def name(self) -> str:
        """A short name, used for the folder that a bundle is written to."""
        return PurePath(self.model).stem if self.kind == "archive" else self.model.rpartition(":")[2]


Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]

# What every report has; see `parity.report.Report.to_json`.
_REPORTED = ("passed", "runtime", "seed", "cases")


class FileEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A file's size and content hash."""

    bytes: Annotated[int, Meta(ge=0)]
    sha256: Sha256


class Artifact(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One exported model file: how it was made, the runtime that it is verified in, and what that found."""

    # A bundle names no program of its own: to verify one must not run code that came with it.
    runtime: Annotated[
        str, Meta(pattern=r"^(onnxruntime:[a-z]+|torchscript)$", description="The runtime that it was verified in.")
    ]
    made_by: str
    opset: int | None
    bounds: Annotated[
        Mapping[str, Mapping[Annotated[str, Meta(pattern="^(min|max)$")], int]],
        Meta(
            description="The least size that PyTorch runs the model at, where that is above 1, and the largest that "
            'the file holds for: {"T": {"min": 5, "max": 300}}.'
        ),
    ]
    parity: Annotated[
        Annotated[Mapping[str, Any], Meta(extra_json_schema={"required": [*_REPORTED]})] | None,
        Meta(description="The parity report; null if it was not verified."),
    ]
    stream: Annotated[
        StreamSpec | None,
        Meta(
            description="How a file with explicit states is fed in chunks; null for one without. Its inputs are the "
            "model's and these states, its outputs the model's and each state's output."
        ),
    ]
    lowering: Annotated[
        LoweringChoice | None, Meta(description="What an ONNX file was written for; null for TorchScript.")
    ]
    precision: Annotated[
        Precision | None, Meta(description="Reduced-precision weights, and what they cost; null for the model's own.")
    ]
    accepted: Annotated[
        tuple[Finding, ...], Meta(description="Findings that were accepted when the file was exported.")
    ] = ()
    metadata: Annotated[
        Mapping[str, str] | UnsetType,
        Meta(description="What the file's user has added to its metadata, beside the entries of rnn_export."),
    ] = UNSET

    def __post_init__(self) -> None:
        missing = [key for key in _REPORTED if self.parity is not None and key not in self.parity]
        if missing:
            raise ValueError(f"The parity report has no `{missing[0]}`")

    @property
    def bound(self) -> float:
        """What parity allows for reduced-precision weights, relative to an output's scale; 0 for the model's own."""
        return 0.0 if self.precision is None else self.precision.allowance

    @property
    def costs(self) -> list[str]:
        """What reduced-precision weights cost each output, in sentences; empty for the model's own."""
        exact = self.parity is None or self.parity.get("reference") == "float64"
        return [] if self.precision is None else self.precision.notes("float64" if exact else "PyTorch")

    @property
    def added_metadata(self) -> Mapping[str, str]:
        """What the file's user has added to its metadata."""
        return {} if isinstance(self.metadata, UnsetType) else self.metadata

    @property
    def is_for_onnx_runtime(self) -> bool:
        """Whether a layer or loop was written as an operator of ONNX Runtime."""
        return self.lowering is not None and "contrib" in self.lowering.forms.values()

    @property
    def unrolls(self) -> bool:
        """Whether the file is a stream's, and has a graph for one step besides."""
        is_cut = self.stream is not None and self.stream.time is not None
        return is_cut and self.lowering is not None and unrolls(self.lowering.forms)
