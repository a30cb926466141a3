"""Verify the files of one export against its model, before anything is put in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from msgspec import structs

from ..errors import ParityError
from ..pytorch.job import ExportJob
from ..spec.artifact import Artifact
from ..spec.streams import cannot_stream
from .artifact import OpenArtifact, check_artifact, open_artifact
from .cases import cases_for
from .expected import Expected, expect
from .precision_cost import check_cost, with_measured_error
from .report import Report
from .weights.model import ModelWeights, weights_of

# Cases that are run through PyTorch where nothing is verified, for the bundle to store.
_STORED = 3


@dataclass(frozen=True)
class ExportCheck:
    """What every file of an export is compared with: the model's weights, and its outputs for every case."""

    job: ExportJob
    expected: Sequence[Expected]

    @classmethod
    def of(cls, job: ExportJob, artifact: Artifact, *, verify: bool) -> ExportCheck:
        """Run the cases through PyTorch: all of them, or only the few that a bundle stores."""
        cases = cases_for([artifact.stream], job.signature, job.traced, job.seed, artifact.bounds)
        chosen = cases if verify else cases[:_STORED]
        expected = expect(
            job.model,
            job.signature,
            chosen,
            job.example,
            advance=lambda done: job.progress("reference", done, len(chosen)),
        )
        return cls(job, expected)

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

    def _report(self, opened: OpenArtifact) -> Report:
        return check_artifact(
            opened,
            self.expected,
            traced=self.job.traced,
            seed=self.job.seed,
            weights=self.weights,
            advance=lambda done: self.job.progress("verify", done, len(self.expected)),
        )


def _passed(report: Report) -> Report:
    if report.mixes_steps:
        raise cannot_stream(report.failure)
    if not report.passed:
        raise ParityError(report.failure, report)
    return report
