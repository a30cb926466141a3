"""From a report that failed to the smallest case that shows it, and a file's run of that case again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..bundle.manifest import Manifest
from ..pytorch.samples import Case
from ..runtimes.open import open_session
from ..runtimes.session import ProviderOptions, Session
from ..spec.artifact import Artifact
from ..spec.signature import Signature
from .artifact import bound_of, open_whole
from .check import check_case
from .chunks import Chunked, one_at_a_time, random_lengths
from .compare import Baseline
from .expected import Expected, expect_case, expect_inputs
from .failing_case import FailingCase, Fed
from .locate import LayerValue, layer_values
from .reference import Oracle
from .report import Report
from .shrink import Trial, shrink

Array = NDArray[np.generic]


@dataclass(frozen=True)
class CaseGenerator:
    """What draws new cases and runs them through PyTorch: a model, in evaluation mode, and an example to cut from."""

    oracle: Oracle
    signature: Signature
    example: Mapping[str, Array] | None

    @classmethod
    def of(cls, model: nn.Module, signature: Signature, example: Mapping[str, Array] | None) -> CaseGenerator:
        return cls(Oracle(model, signature), signature, example)

    def draw(self, case: Case) -> Expected:
        return expect_case(self.oracle, self.signature, case, self.example)

    def feed(self, case: Case, inputs: Mapping[str, Array]) -> Expected:
        return expect_inputs(self.oracle, self.signature, case, inputs)


def isolate(
    folder: Path,
    manifest: Manifest,
    report: Report,
    expected: Sequence[Expected],
    typical: Mapping[str, Baseline],
    drawing: CaseGenerator | None,
    provider_options: ProviderOptions | None = None,
) -> FailingCase | None:
    """The smallest case that an artifact of a bundle fails; without a drawing, the smallest of those in the report.

    None where none of them fails when it is run again.
    """
    artifact = manifest.artifacts[report.artifact]
    failed = {result.case.name for result in report.cases if result.verdict == "FAIL"}
    items = sorted((item for item in expected if item.case.name in failed), key=_size)
    whole = open_whole(folder / report.artifact, artifact, manifest.signature, expected, provider_options)
    for session in _sessions(whole, report.seed):

        def fails(item: Expected, session: Session = session) -> bool:
            return check_case(session, item, typical, report.bound).verdict == "FAIL"

        item = next(filter(fails, items), None)
        if item is not None:
            small = item if drawing is None else shrink(item, Trial(drawing.draw, drawing.feed, fails))
            fed = _fed(session, artifact, small.case)
            return FailingCase(report.artifact, manifest.weights_sha256, small, typical, fed)
    return None


def find_layers(
    folder: Path,
    manifest: Manifest,
    failing: FailingCase,
    oracle: Oracle,
    provider_options: ProviderOptions | None = None,
) -> list[LayerValue]:
    """Each recurrent layer in an ONNX artifact and in PyTorch, for that case in one pass."""
    artifact, inputs = manifest.artifacts[failing.artifact], failing.item.inputs
    sizes = failing.item.case.sizes
    states = () if artifact.stream is None else artifact.stream.states
    eager, exact = oracle.layers(inputs)
    given = {**{state.name: state.initial(sizes) for state in states}, **inputs}
    return layer_values(folder / failing.artifact, artifact.runtime, given, eager, exact, provider_options)


def run_again(
    folder: Path, manifest: Manifest, failing: FailingCase, provider_options: ProviderOptions | None = None
) -> Report:
    """Run a case in the artifact that failed it, fed as it was."""
    artifact = manifest.artifacts[failing.artifact]
    session = open_session(artifact.runtime, folder / failing.artifact, manifest.signature.outputs, provider_options)
    if artifact.stream is not None and failing.fed is not None:
        lengths = list(failing.fed.lengths)
        session = Chunked(
            session,
            artifact.stream,
            manifest.signature,
            failing.fed.dims,
            lambda T: lengths,
            failing.fed.after_reset,
        )
    result = check_case(session, failing.item, failing.typical, bound_of(artifact, provider_options))
    item, has_exact = failing.item, failing.item.reference is not None and failing.item.reference.exact is not None
    return Report(
        failing.artifact,
        artifact.runtime,
        session.placement(),
        "float64" if has_exact else "tolerance",
        item.case.seed,
        dict(item.case.sizes),
        [result],
        bound=bound_of(artifact, provider_options),
    )


def _sessions(whole: Session, seed: int) -> Iterator[Session]:
    """The artifact in one pass, and where it is a stream, fed in each way."""
    yield whole
    if not isinstance(whole, Chunked):
        return
    lengths = partial(random_lengths, seed=seed)
    yield from (replace(whole, plan=one_at_a_time), replace(whole, plan=lengths))
    yield replace(whole, plan=lengths, earlier=True)


def _fed(session: Session, artifact: Artifact, case: Case) -> Fed | None:
    if not isinstance(session, Chunked) or artifact.stream is None:
        return None
    return Fed(list(session.plan(case.sizes[artifact.stream.time])), session.earlier, session.dims)


def _size(item: Expected) -> int:
    return prod(item.case.sizes.values())
