"""Capture a model again at larger sizes, where one of the example's became 0 or 1 on the way through it."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from time import thread_time

from ..errors import CaptureError
from ..pytorch.job import ExportJob
from ..pytorch.least_sizes import growing
from ..pytorch.related_sizes import step_of
from .capture import Captured, CollapsedError, capture

# Seconds of this thread that further captures may take; of a loop, one takes as much longer as it has steps more.
_PATIENCE = 15.0


def capture_growing(job: ExportJob) -> tuple[ExportJob, Captured]:
    """A captured model, and the job at the sizes at which it was captured.

    PyTorch takes a computed size of 0 or 1 for a plain number: a convolution that leaves one step of five holds for
    five steps alone. With an example, its values are cut or repeated.

    Raises:
        CaptureError: the model cannot be captured, at whatever size.
        RandomError: it draws random numbers.
    """
    start = began = thread_time()
    try:
        return job, capture(job.model, job.signature, job.tensors)
    except CollapsedError as collapsed:
        first = collapsed
    except CaptureError as error:
        raise _of_multiples(job, error) from error
    size = prod(job.traced.values())
    for sizes in growing(job.traced, [name for name in first.symbols if name in job.traced]):
        now = thread_time()
        if now - start + (now - began) * prod(sizes.values()) / size > _PATIENCE:
            break
        if not job.trial.runs(sizes):
            continue
        began, size = now, prod(sizes.values())
        larger = replace(job, traced=sizes, tensors=job.trial.tensors(sizes))
        try:
            return larger, capture(larger.model, larger.signature, larger.tensors)
        except CollapsedError:
            continue
        except CaptureError as error:
            raise _of_multiples(job, error) from first
    raise _of_multiples(job, first) from first


def _of_multiples(job: ExportJob, error: CaptureError) -> CaptureError:
    """The error of a model that runs at multiples of a number alone, which PyTorch's capture does not know of."""
    if job.example is not None or job.made is not None or not (found := step_of(job.trial.runs, job.traced)):
        return error
    name, step = found
    return CaptureError(
        f"PyTorch runs the model only where {name} is a multiple of {step}. "
        f"Write {step}*{name} in place of {name} in the inputs."
    )
