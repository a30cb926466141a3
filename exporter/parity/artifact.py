"""Proving one model file: in one pass, and where its states are explicit, in chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..runtimes.open import open_session
from ..runtimes.session import ProviderOptions, Session
from ..spec.artifact import Artifact
from ..spec.signature import Signature
from .check import check
from .chunks import check_stream, in_one_pass
from .compare import TF32_BOUND, Baseline
from .expected import Expected
from .report import Report
from .weights.compare import compare_weights
from .weights.stored import stored_int8, stored_weights
from .weights.tensors import ModelWeights
from .weights.verdict import Weights


def check_artifact(
    file: Path,
    artifact: Artifact,
    signature: Signature,
    expected: Sequence[Expected],
    *,
    traced: Mapping[str, int],
    seed: int,
    weights: ModelWeights | None,
    typical: Mapping[str, Baseline] | None = None,
    provider_options: ProviderOptions | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> Report:
    """Run the file in the artifact's runtime on every case and judge it, and compare its weights with the model's.

    Args:
        weights: the model's; None where they are not known.
        provider_options: how to start the runtime's execution provider.

    The other arguments are those of `parity.check.check`.

    Raises:
        UnavailableError: the runtime is not there, or has no kernel for an operator of the model.
        PlacementError: the options are strict, and the runtime would not run all of the model where it was asked to.
        BundleError: the file is not a model.
    """
    check_all = check if artifact.stream is None else partial(check_stream, artifact.stream, signature)
    report = check_all(
        open_session(artifact.runtime, file, signature.outputs, provider_options),
        expected,
        artifact=file.name,
        runtime=artifact.runtime,
        traced=traced,
        seed=seed,
        typical=typical,
        bound=bound_of(artifact, provider_options),
        advance=advance,
    )
    return replace(report, weights=_compare(file, artifact, weights))


def bound_of(artifact: Artifact, provider_options: ProviderOptions | None) -> float:
    """What outputs may be off, relative to their scale, for smaller weights or for coarser products; else 0."""
    return max(artifact.bound, TF32_BOUND) if provider_options is not None and provider_options.tf32 else artifact.bound


def _compare(file: Path, artifact: Artifact, weights: ModelWeights | None) -> Weights:
    if weights is None:
        return Weights(why="the bundle does not hold the model's")
    int8 = stored_int8(file) if artifact.bound else {}
    found = compare_weights(stored_weights(file), weights.own, weights.computed, int8)
    return replace(found.without(_computed_then(artifact)), unseen=weights.unseen) if weights.unseen else found


def _computed_then(artifact: Artifact) -> Sequence[str]:
    """The tensors that the export, which had the model, found to be none of its own."""
    then = (artifact.parity or {}).get("weights") or {}
    return [*then.get("unknown", ()), *then.get("computed", ())]


def open_whole(
    file: Path,
    artifact: Artifact,
    signature: Signature,
    expected: Sequence[Expected],
    provider_options: ProviderOptions | None = None,
) -> Session:
    """The file in the artifact's runtime, run in one pass, from the states' reset values where they are explicit."""
    session = open_session(artifact.runtime, file, signature.outputs, provider_options)
    stream = artifact.stream
    if stream is None:
        return session
    return in_one_pass(session, stream, signature, expected)
