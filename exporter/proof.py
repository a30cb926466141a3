"""Proving one model file: in one pass, and where its states are explicit, in chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from .manifest import Artifact
from .parity import Bounds, Case, Expected, Report, check, make_cases
from .parity.chunks import check_stream, drift_cases
from .parity.compare import Typical
from .runtimes import Launch, open_session
from .signature import Signature
from .states import Stream


@dataclass(frozen=True)
class Where:
    """The runtime to prove a file in, how it is launched, and whether nodes may run on another of its providers."""

    runtime: str
    launch: Launch = field(default_factory=Launch)
    allow_fallback: bool = False


def prove(
    file: Path,
    artifact: Artifact,
    signature: Signature,
    expected: Sequence[Expected],
    *,
    traced: Mapping[str, int],
    seed: int,
    typical: Mapping[str, Typical] | None = None,
    where: Where | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> Report:
    """Run the file in a runtime on every case and judge it; the other arguments are those of `parity.check`.

    Args:
        where: the runtime; the artifact's own by default.

    Raises:
        UnavailableError: the runtime is not there, or has no kernel for an operator of the model.
        PlacementError: the launch is strict, and the runtime would not run all of the model where it was asked to.
        BundleError: the file is not a model.
    """
    check_all = check if artifact.stream is None else partial(check_stream, artifact.stream, signature)
    where = where or Where(artifact.runtime)
    report = check_all(
        open_session(where.runtime, file, signature.outputs, where.launch),
        expected,
        artifact=file.name,
        runtime=where.runtime,
        traced=traced,
        seed=seed,
        typical=typical,
        bound=0.0 if artifact.precision is None else artifact.precision.bound,
        advance=advance,
    )
    return replace(report, allow_fallback=where.allow_fallback)


def cases_for(
    streams: Sequence[Stream | None], signature: Signature, traced: Mapping[str, int], seed: int, bounds: Bounds
) -> list[Case]:
    """The cases of `parity.make_cases`, and for streams a long one."""
    times = {stream.time for stream in streams if stream is not None}
    long = [case for time in sorted(times) for case in drift_cases(time, signature, seed)]
    return [*make_cases(signature, traced, seed, bounds), *long]
