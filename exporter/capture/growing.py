"""Capture a model again at larger sizes, where one of the example's became 0 or 1 on the way through it."""

from __future__ import annotations

from dataclasses import replace

from ..errors import CaptureError
from ..pytorch.job import ExportJob
from ..pytorch.least_sizes import growing
from .capture import Captured, CollapsedError, capture

# So many captures are tried: each takes as long as the first, or longer.
_MOST = 12


def capture_growing(job: ExportJob) -> tuple[ExportJob, Captured]:
    """A captured model, and the job at the sizes at which it was captured.

    PyTorch takes a computed size of 0 or 1 for a plain number: a convolution that leaves one step of five holds for
    five steps alone. With an example, its values are cut or repeated.

    Raises:
        CaptureError: the model cannot be captured, at whatever size.
        RandomError: it draws random numbers.
    """
    try:
        return job, capture(job.model, job.signature, job.tensors)
    except CollapsedError as collapsed:
        first = collapsed
    tried = 0
    for sizes in growing(job.traced, [name for name in first.symbols if name in job.traced]):
        if tried == _MOST:
            break
        if not job.trial.runs(sizes):
            continue
        tried += 1
        larger = replace(job, traced=sizes, tensors=job.trial.tensors(sizes))
        try:
            return larger, capture(larger.model, larger.signature, larger.tensors)
        except CollapsedError:
            continue
        except CaptureError as error:
            raise error from first
    raise first
