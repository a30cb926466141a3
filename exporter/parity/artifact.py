"""Check one exported file: its outputs in one pass and, where its states are explicit, in chunks; and its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..runtimes.open import open_session
from ..runtimes.session import ProviderOptions, Session
from ..spec.artifact import Artifact
from ..spec.cases import Baseline
from ..spec.signature import Signature
from .check import check
from .chunks import check_stream, in_one_pass
from .compare import TF32_BOUND
from .expected import Expected
from .report import Report
from .weights.compare import WeightComparison, compare_weights
from .weights.model import ModelWeights
from .weights.stored import stored_int8, stored_weights


@dataclass(frozen=True)
class OpenArtifact:
    """An exported file, loaded once in the runtime that runs it; the options are its execution provider's."""

    file: Path
    artifact: Artifact
    signature: Signature
    session: Session
    provider_options: ProviderOptions | None = None

    @property
    def bound(self) -> float:
        """The error that reduced-precision weights or products may add, relative to an output's scale; else 0."""
        uses_tf32 = self.provider_options is not None and self.provider_options.tf32
        return max(self.artifact.bound, TF32_BOUND) if uses_tf32 else self.artifact.bound

    def in_one_pass(self, expected: Sequence[Expected]) -> Session:
        """A session that takes whole sequences, from the states' reset values where they are explicit."""
        stream = self.artifact.stream
        return self.session if stream is None else in_one_pass(self.session, stream, self.signature, expected)


def open_artifact(
    file: Path, artifact: Artifact, signature: Signature, provider_options: ProviderOptions | None = None
) -> OpenArtifact:
    """Load a file in its artifact's runtime.

    Raises:
        UnavailableError: the runtime is not there, or has no kernel for an operator of the model.
        PlacementError: the options are strict, and the runtime would run part of the model elsewhere.
        BundleError: the file is not a model.
    """
    session = open_session(artifact.runtime, file, signature.outputs, provider_options)
    return OpenArtifact(file, artifact, signature, session, provider_options)


def open_whole(file: Path, artifact: Artifact, signature: Signature, expected: Sequence[Expected]) -> Session:
    """A file in its artifact's runtime, run in one pass; the errors are those of `open_artifact`."""
    return open_artifact(file, artifact, signature).in_one_pass(expected)


def check_artifact(
    opened: OpenArtifact,
    expected: Sequence[Expected],
    *,
    traced: Mapping[str, int],
    seed: int,
    weights: ModelWeights | None,
    baselines: Mapping[str, Baseline] | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> Report:
    """Run every case and judge it, and compare the file's weights with the model's.

    Args:
        weights: the model's; None where they are not known.

    The other arguments are those of `parity.check.check`.

    Raises:
        UnavailableError: the runtime has no kernel for an operator of the model.
    """
    artifact = opened.artifact
    check_all = check if artifact.stream is None else partial(check_stream, artifact.stream, opened.signature)
    report = check_all(
        opened.session,
        expected,
        artifact=opened.file.name,
        runtime=artifact.runtime,
        traced=traced,
        seed=seed,
        baselines=baselines,
        bound=opened.bound,
        advance=advance,
    )
    return replace(report, weights=_compare(opened.file, artifact, weights))


def _compare(file: Path, artifact: Artifact, weights: ModelWeights | None) -> WeightComparison:
    if weights is None:
        return WeightComparison(why="the bundle does not hold the model's")
    int8 = stored_int8(file) if artifact.bound else {}
    found = compare_weights(stored_weights(file), weights.tensors, weights.computed, int8)
    return replace(found.without(_computed_then(artifact)), unseen=weights.unseen) if weights.unseen else found


def _computed_then(artifact: Artifact) -> Sequence[str]:
    """The tensors that the export, which had the model, found to be none of its own."""
    then = (artifact.parity or {}).get("weights") or {}
    return [*then.get("unknown", ()), *then.get("computed", ())]
