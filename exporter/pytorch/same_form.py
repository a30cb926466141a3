"""See that what TorchScript was taken back to computes what the TorchScript does."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, LoadError
from .evaluation import evaluating, is_same
from .job import ExportJob
from .run import preserve_module_state, run_on
from .samples import LONG, Case

_SIZES = (1, 2, 3, 4, 8, 33)


def check_form(given: nn.Module, job: ExportJob) -> None:
    """Refuse a model that `as_python` changed into another, by running both at several sizes, NaN among the values.

    Raises:
        LoadError: the two compute different things, or one alone raises.
    """
    with evaluating(given):
        for case in _cases(job):
            try:
                inputs = {name: torch.from_numpy(array.copy()) for name, array in job.inputs(case).items()}
            except InputError:  # the caller's own function does not make every size
                continue
            _check(given, job, inputs, case)


def _cases(job: ExportJob) -> list[Case]:
    sizes = [dict(job.traced), *(dict.fromkeys(job.traced, size) for size in _SIZES)]
    sizes += [{**job.traced, name: LONG} for name in job.traced]
    distinct = {tuple(each.items()): each for each in sizes}
    cases = [Case(each, "ordinary", job.seed) for each in distinct.values()]
    return cases if job.made is not None else [*cases, Case(job.traced, "nan", job.seed)]


def _check(given: nn.Module, job: ExportJob, inputs: Mapping[str, Tensor], case: Case) -> None:
    # TorchScript keeps what it writes to its attributes, which nothing could undo.
    before = _outcome(copy.deepcopy(given) if job.carries_state else given, inputs)
    with preserve_module_state(job.model):
        after = _outcome(job.model, inputs)
    if isinstance(before, Exception) and isinstance(after, Exception):
        return
    if isinstance(before, Exception) or isinstance(after, Exception) or not is_same(before, after):
        at = ", ".join(f"{name}={size}" for name, size in case.sizes.items())
        raise LoadError(
            f"The TorchScript computes something else than {type(job.model).__name__} in Python does, which would be "
            f"exported, at {at or 'the given sizes'}. Give the Python module that it was made from."
        )


def _outcome(model: nn.Module, inputs: Mapping[str, Tensor]) -> Any:
    """What a model returns, or the error that it raises."""
    try:
        return run_on(model, inputs)
    except Exception as error:  # whatever a model's code raises
        return error
