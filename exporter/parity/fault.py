"""What is wrong with a file that failed: the smallest case that shows it, and the first layer that differs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import first_line
from ..spec.cases import Baseline
from .artifact import OpenArtifact
from .compare_layers import LayerValue, describe_first, write_layers
from .expected import Expected
from .failing_case import FailingCase, write_failing_case
from .isolate import CaseGenerator, find_layers, isolate
from .report import Report


@dataclass(frozen=True)
class Fault:
    """The smallest case found that an artifact fails, and each recurrent layer in it, or why there is none (`why`)."""

    failing: FailingCase
    layers: Sequence[LayerValue] = ()
    why: str = ""

    @property
    def where(self) -> str:
        """One sentence about the first layer that is wrong."""
        return f"Layers could not be compared: {self.why}." if self.why else describe_first(self.layers)

    def to_json(self, files: Iterable[Path] = ()) -> dict[str, Any]:
        """Where it is, and the files it was written to."""
        return {"where": self.where, "files": [*map(str, files)]}


def find_fault(
    opened: OpenArtifact,
    report: Report,
    expected: Sequence[Expected],
    baselines: Mapping[str, Baseline],
    generator: CaseGenerator | None,
    weights_sha256: str,
) -> Fault | None:
    """Find the smallest case that fails, and the first layer that differs in it.

    None where every case of the report passes when it is run again.
    """
    failing = isolate(opened, report, expected, baselines, generator, weights_sha256)
    if failing is None:
        return None
    why = _why_not_by_layer(opened, failing, generator)
    if why or generator is None:
        return Fault(failing, why=why)
    try:
        return Fault(failing, find_layers(opened, failing, generator.oracle))
    except Exception as error:  # a runtime raises classes of its own, and may not run the case at all
        return Fault(failing, why=f"{type(error).__name__}, {first_line(error)}")


def _why_not_by_layer(opened: OpenArtifact, failing: FailingCase, generator: CaseGenerator | None) -> str:
    artifact = opened.artifact
    if generator is None:
        return "the model was not built again"
    if artifact.opset is None:
        return "a TorchScript file is frozen into one graph"
    if artifact.bound:
        return "int8 weights move every layer a little"
    is_step = artifact.stream is not None and failing.item.case.sizes.get(artifact.stream.time) == 1
    if is_step and artifact.unrolls:
        return "the smallest case runs the graph for one step, which has no layers of its own"
    return ""


def write_fault(fault: Fault, bundle: str | Path, *, layers: bool = False) -> list[Path]:
    """Keep the smallest case beside the bundle, which itself must stay as it was written; returns the files.

    `rnn_export.replay` runs the case again.

    Args:
        layers: write what every recurrent layer computes in it too: in the file, in PyTorch and in float64.

    Raises:
        OSError: a file cannot be written.
    """
    folder = Path(bundle).resolve()
    stem = f"{folder.name}.{fault.failing.artifact}"
    files = [folder.with_name(f"{stem}.case.safetensors")]
    write_failing_case(files[0], fault.failing)
    if layers and fault.layers:
        files.append(folder.with_name(f"{stem}.layers.safetensors"))
        write_layers(files[1], fault.layers)
    return [Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path for path in files]
