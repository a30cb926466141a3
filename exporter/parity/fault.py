"""Diagnose a file that failed: the smallest case that shows it, and the first layer that differs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import first_line
from ..pytorch.samples import Case
from ..runtimes.session import Session
from ..spec.artifact import Artifact
from .artifact import OpenArtifact
from .case_generator import CaseGenerator
from .check import check_case
from .chunks import Chunked, one_at_a_time, random_lengths
from .compare_layers import LayerValue, describe_first, layer_values, trace_layers, write_layers
from .expected import Expected
from .failing_case import FailingCase, Feeding, write_failing_case
from .reference import Oracle
from .report import Report
from .shrink import Trial, shrink

Array = NDArray[np.generic]


def isolate(
    opened: OpenArtifact,
    report: Report,
    expected: Sequence[Expected],
    generator: CaseGenerator | None,
    weights_sha256: str,
) -> FailingCase | None:
    """The smallest case that a file fails; without a generator, the smallest of those in the report.

    None where none of them fails when it is run again.
    """
    failed = {result.case.name for result in report.cases if result.verdict == "FAIL"}
    items = sorted((item for item in expected if item.case.name in failed), key=_size)
    for session in _sessions(opened.in_one_pass(expected), report.seed):

        def fails(item: Expected, session: Session = session) -> bool:
            return check_case(session, item, report.bound).verdict == "FAIL"

        item = next(filter(fails, items), None)
        if item is not None:
            small = item if generator is None else shrink(item, Trial(generator.draw, generator.feed, fails))
            fed = _fed(session, opened.artifact, small.case)
            return FailingCase(report.artifact, weights_sha256, small, fed)
    return None


def find_layers(opened: OpenArtifact, failing: FailingCase, oracle: Oracle) -> list[LayerValue]:
    """Each recurrent layer in an ONNX file and in PyTorch, for that case in one pass."""
    artifact, inputs = opened.artifact, failing.item.inputs
    sizes = failing.item.case.sizes
    states = () if artifact.stream is None else artifact.stream.states
    eager, exact = oracle.in_both(trace_layers, inputs)
    given = {**{state.name: state.initial(sizes) for state in states}, **inputs}
    return layer_values(opened.file, artifact.runtime, given, eager, exact, opened.provider_options)


def run_again(opened: OpenArtifact, failing: FailingCase) -> Report:
    """Run a case in the file that failed it, fed as it was."""
    artifact, session = opened.artifact, opened.session
    if artifact.stream is not None and failing.fed is not None:
        lengths = list(failing.fed.lengths)
        session = Chunked(
            session,
            artifact.stream,
            opened.signature,
            failing.fed.dims,
            lambda T: lengths,
            failing.fed.after_reset,
        )
    result = check_case(session, failing.item, opened.bound)
    item, has_exact = failing.item, failing.item.reference is not None and failing.item.reference.exact is not None
    return Report(
        failing.artifact,
        artifact.runtime,
        session.placement(),
        "float64" if has_exact else "tolerance",
        item.case.seed,
        dict(item.case.sizes),
        [result],
        bound=opened.bound,
    )


def _sessions(whole: Session, seed: int) -> Iterator[Session]:
    """The file in one pass, and where it is a stream, fed in each way."""
    yield whole
    if not isinstance(whole, Chunked):
        return
    lengths = partial(random_lengths, seed=seed)
    yield from (replace(whole, plan=one_at_a_time), replace(whole, plan=lengths))
    yield replace(whole, plan=lengths, after_reset=True)


def _fed(session: Session, artifact: Artifact, case: Case) -> Feeding | None:
    if not isinstance(session, Chunked):
        return None
    units = case.sizes[session.time] // session.stream.multiple
    return Feeding(list(session.plan(units)), session.after_reset, session.dims)


def _size(item: Expected) -> int:
    return prod(item.case.sizes.values())


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
    generator: CaseGenerator | None,
    weights_sha256: str,
) -> Fault | None:
    """Find the smallest case that fails, and the first layer that differs in it.

    None where every case of the report passes when it is run again.
    """
    failing = isolate(opened, report, expected, generator, weights_sha256)
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
    time = None if artifact.stream is None else artifact.stream.time
    is_step = time is not None and failing.item.case.sizes.get(time) == 1
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
