"""Suppress what libraries print that a user can do nothing about."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from ..torch_internals.lock import exclusive

_CHATTY = ("torch.onnx", "torch.export", "torch.fx", "onnxscript", "onnx_ir")


@contextmanager
def suppress_output() -> Iterator[None]:
    """Drop what libraries and models print, warn of, or log below errors; exclusive, and restored afterwards.

    Standard output, the warning filters and the loggers are the whole process's.
    """
    with (
        exclusive(),
        _logging_errors_only(),
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _logging_errors_only() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
