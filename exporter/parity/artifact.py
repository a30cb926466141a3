"""Check exported files against PyTorch: outputs in one pass and in chunks, and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType

from msgspec import structs
from torch import nn

from ..errors import ParityError
from ..pytorch.job import ExportJob
from ..runtimes.open import open_session
from ..runtimes.session import ProviderOptions, Session
from ..spec.artifact import Artifact
from ..spec.signature import Signature
from ..spec.streams import cannot_stream
from .calls import check_calls
from .case_generator import CaseGenerator
from .check import check, first_wrong_step
from .chunks import check_stream, in_one_pass
from .compare import TF32_BOUND
from .drawing import Drawing, draw_for
from .evidence import Doubt
from .expected import Expected, output_dims
from .file_numbers import file_numbers
from .interface import check_interface
from .precision_cost import check_cost, with_measured_error
from .probe import Probe, Prober
from .report import Report
from .value_decisions import decides_by_value
from .weights.compare import WeightComparison, compare_weights
from .weights.model import ModelWeights, weights_of
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
        if stream is None or stream.time is None:
            return self.session
        return in_one_pass(self.session, stream, self.signature, expected)


def open_artifact(
    file: Path,
    artifact: Artifact,
    signature: Signature,
    provider_options: ProviderOptions | None = None,
    *,
    described: Mapping[str, str] = MappingProxyType({}),
) -> OpenArtifact:
    """Load a file in its artifact's runtime, if it says the same as what is recorded about it.

    Args:
        described: the dtypes and dimensions of outputs, as far as they are known.

    Raises:
        InterfaceError: the file says something else.
        UnavailableError: the runtime is not there, or has no kernel for an operator of the model.
        PlacementError: the options are strict, and the runtime would run part of the model elsewhere.
        BundleError: the file is not a model.
    """
    check_interface(file, artifact, signature, described)
    session = open_session(artifact.runtime, file, signature.outputs, provider_options)
    return OpenArtifact(file, artifact, signature, session, provider_options)


def open_whole(
    file: Path,
    artifact: Artifact,
    signature: Signature,
    expected: Sequence[Expected],
    provider_options: ProviderOptions | None = None,
) -> Session:
    """A file in its artifact's runtime, run in one pass; the errors are those of `open_artifact`."""
    return open_artifact(file, artifact, signature, provider_options).in_one_pass(expected)


def check_artifact(
    opened: OpenArtifact,
    expected: Sequence[Expected],
    *,
    traced: Mapping[str, int],
    seed: int,
    weights: ModelWeights | None,
    advance: Callable[[int], None] = lambda done: None,
) -> Report:
    """Run every case and judge it, and compare the file's weights with the model's.

    Args:
        weights: the model's; None where they are not known.

    The other arguments are those of `parity.check.check`.

    Raises:
        UnavailableError: the runtime has no kernel for an operator of the model.
    """
    artifact, stream = opened.artifact, opened.artifact.stream
    is_cut = stream is not None and stream.time is not None
    check_all = partial(check_stream, stream, opened.signature) if stream is not None and is_cut else check
    report = check_all(
        opened.session,
        expected,
        artifact=opened.file.name,
        runtime=artifact.runtime,
        traced=traced,
        seed=seed,
        bound=opened.bound,
        states=() if stream is None else [state.output for state in stream.states if state.name in stream.kept],
        advance=advance,
    )
    return replace(
        report,
        weights=_compare(opened.file, artifact, weights),
        doubt=_doubt_about(report, artifact),
        accepted=artifact.accepted,
    )


def _doubt_about(report: Report, artifact: Artifact) -> Doubt | None:
    """Why nothing shows that a file is right; stored cases do not tell, and then it is what the export found."""
    if artifact.precision is not None and artifact.precision.weights == "float16":
        return None  # what it costs beside the float32 model is bounded, which shows more
    then = (artifact.parity or {}).get("unverified")
    return report.doubt or (Doubt(str(then)) if then else None)


def check_again(
    opened: OpenArtifact, report: Report, model: nn.Module, drawing: Drawing, traced: Mapping[str, int], seed: int
) -> Report:
    """The report with runs of many calls, where the model keeps something from call to call and each call is right.

    Raises:
        UnavailableError: the runtime has no kernel for an operator of the model.
    """
    if not report.right:
        return report
    calls = check_calls(opened.artifact.stream, opened.session, model, drawing, traced, seed, opened.bound)
    return replace(report, cases=[*report.cases, *calls])


def probe_artifact(
    opened: OpenArtifact,
    report: Report,
    expected: Sequence[Expected],
    prober: Prober,
    advance: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[Report, list[Expected]]:
    """Try many further sizes of a file that is right in all cases; returns the report, with what is wrong as cases.

    Of a file that is wrong, the report then says at which line the model takes another path, if it does.

    Raises:
        UnavailableError: the runtime has no kernel for an operator of the model.
        RandomError: the model draws random numbers at some size.
    """
    if not report.right:
        return _with_path(report, expected, prober), []
    probe = Probe(opened.in_one_pass(expected), prober, opened.bound, file_numbers(opened.file))
    stream = opened.artifact.stream
    carried = {} if stream is None else {state.name: state.output for state in stream.states}
    probed = probe.run(report.traced if decides_by_value(opened.file, carried) else None, advance)
    items, results = [item for item, _ in probe.failed], [result for _, result in probe.failed]
    time = "T" if "T" in report.traced else next(iter(report.traced), "")
    step = first_wrong_step(output_dims(expected), results, time)
    whole = replace(report, cases=[*report.cases, *results], probed=probed, first_step=step)
    return _with_path(whole, [*expected, *items], prober), items


def _with_path(report: Report, expected: Sequence[Expected], prober: Prober) -> Report:
    shown = report.smallest_failure
    item = next((item for item in expected if shown is not None and item.case == shown.case), None)
    return report if item is None else replace(report, path=prober.other_path(expected[0].inputs, item.inputs))


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


# Cases that are run through PyTorch where nothing is verified, for the bundle to store.
_STORED = 3


@dataclass(frozen=True)
class ExportCheck:
    """What every file of an export is compared with: the model's weights, and its outputs for every case.

    `notes` say what should be known of how the cases were drawn.
    """

    job: ExportJob
    drawing: Drawing
    expected: Sequence[Expected]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        job: ExportJob,
        artifact: Artifact,
        limits: Mapping[str, Sequence[int]] = MappingProxyType({}),
        *,
        verify: bool,
    ) -> ExportCheck:
        """Run the cases through PyTorch: all of them, or only the few that a bundle stores.

        Args:
            limits: sizes next to which the model goes another way.
        """
        drawing = draw_for(job.model, job.signature, job.traced, job.seed, job.example, job.made, job.least)
        cases = drawing.cases([artifact.stream], job.traced, job.seed, artifact.bounds, limits=limits)
        chosen = cases if verify else cases[:_STORED]
        drawn = drawing.expect(job.model, chosen, lambda done: job.progress("reference", done, len(chosen)))
        return cls(job, drawing, drawn.expected, drawn.notes)

    @cached_property
    def weights(self) -> ModelWeights:
        """The model's weights, which take a run of the model to find."""
        return weights_of(self.job.model, self.job.tensors)

    def report(self, file: Path, artifact: Artifact) -> Report:
        """Compare one file with the model, whatever comes of it."""
        return self._report(open_artifact(file, artifact, self.job.signature))

    def demand(self, file: Path, artifact: Artifact) -> tuple[Report, Artifact]:
        """Compare one file with the model; returns the report, and the artifact with what was measured.

        Raises:
            ParityError: the outputs or the weights differ.
            CaptureError: outputs are right in one pass, and wrong in chunks.
        """
        opened = open_artifact(file, artifact, self.job.signature)
        report = _passed(self._report(opened))
        costs: tuple[Report, ...] = (report,)
        if self.job.original is not None:
            session = opened.in_one_pass(self.expected)
            costs = check_cost(session, self.job, self.job.original, self.expected, artifact)
        precision = artifact.precision and with_measured_error(artifact.precision, [_passed(cost) for cost in costs])
        return report, structs.replace(artifact, parity=report.to_json(), precision=precision)

    @cached_property
    def prober(self) -> Prober:
        """What tries further sizes, for which the model is run once to read the numbers in its code."""
        generator = CaseGenerator.of(self.job.model, self.drawing, self.expected)
        return Prober.of(self.job.model, generator, self.expected[0], self.job.seed)

    def _report(self, opened: OpenArtifact) -> Report:
        report = check_artifact(
            opened,
            self.expected,
            traced=self.job.traced,
            seed=self.job.seed,
            weights=self.weights,
            advance=lambda done: self.job.progress("verify", done, len(self.expected)),
        )
        report = check_again(opened, report, self.job.model, self.drawing, self.job.traced, self.job.seed)
        return probe_artifact(opened, report, self.expected, self.prober, partial(self.job.progress, "sizes"))[0]


def _passed(report: Report) -> Report:
    if report.mixes_steps:
        raise cannot_stream(report.failure)
    if not report.passed:
        raise ParityError(report.failure, report)
    return report
