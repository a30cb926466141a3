"""Every error this package raises on purpose, and its exit code.

    RnnExportError
    ├── InputError            something the caller gave is wrong            exit 2
    │   ├── SignatureError    a malformed or impossible input description
    │   ├── LoadError         a model that cannot be found, built or used
    │   ├── WeightsError      a checkpoint that does not fit the model
    │   └── BundleError       a bundle or model file that cannot be read or written
    ├── CaptureError          the model cannot be exported as it stands     exit 2
    ├── InternalError         a bug in rnn-export, not in the model         exit 2
    ├── UnavailableError      a runtime that is not there, or cannot run it exit 2
    ├── InterfaceError        a file that says something else than its manifest    exit 1
    ├── PlacementError        an artifact ran on another execution provider exit 1
    ├── FixedDecisionError    a trace took one branch for all inputs        exit 1
    └── ParityError           an artifact computes something else           exit 1

A message says what is wrong and what to do about it, in one or two sentences.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class RnnExportError(Exception):
    """Base of every error raised on purpose; `exit_code` is what the command line exits with."""

    exit_code = 2


class InputError(RnnExportError):
    """Something the caller gave is wrong."""


class SignatureError(InputError):
    """A malformed or impossible description of inputs, outputs or states."""


class UndescribedInputsError(SignatureError):
    """Nobody said what goes into the model; `proposal` describes inputs that it runs with, if any were found."""

    def __init__(self, message: str, proposal: Any = None) -> None:
        super().__init__(message)
        self.proposal = proposal


class LoadError(InputError):
    """A model that cannot be found, built or used."""


class WeightsError(InputError):
    """A checkpoint that cannot be read safely or does not fit the model."""


class BundleError(InputError):
    """A bundle or model file that cannot be read or written."""


class CaptureError(RnnExportError):
    """The model cannot be exported as it stands."""


class InternalError(RnnExportError):
    """A bug in rnn-export, not in the model; its message asks the user to report it."""

    def __str__(self) -> str:
        return f"{super().__str__()} This is a bug in rnn-export: report it, with the model."


class UnavailableError(RnnExportError):
    """A runtime that is not installed, or has no kernel for the model."""


class InterfaceError(RnnExportError):
    """A file of a bundle that says something else than the rest: names, order, dtypes, dimensions, metadata, cases."""

    exit_code = 1


class PlacementError(RnnExportError):
    """Nodes ran, or would run, on another execution provider than the one that was asked for.

    `report` is the `Report` that holds every case, where any was run; else None.
    """

    exit_code = 1

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report


class FixedDecisionError(RnnExportError):
    """A trace took one branch, or one number, for all inputs."""

    exit_code = 1


class ParityError(RnnExportError):
    """An artifact does not compute what PyTorch computes; `report` is the `Report` that holds every case."""

    exit_code = 1

    def __init__(self, message: str, report: Any) -> None:
        super().__init__(message)
        self.report = report


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'hetero'?"` for the nearest known word, else the empty string."""
    spelled = {name.lower(): name for name in known}
    begins = [name for name in spelled if name.startswith(word.lower())]
    nearest = begins or difflib.get_close_matches(word.lower(), list(spelled), n=1, cutoff=0.5)
    return f" Did you mean '{spelled[nearest[0]]}'?" if nearest else ""


def type_in_words(value: object) -> str:
    """`an int` or `a str`: the type of a value, after its article."""
    return with_article(type(value).__name__)


def with_article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeio' or name == 'ndarray' else 'a'} {name}"


def first_line(error: BaseException) -> str:
    """The first non-empty line of an exception's message, or its type where there is none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
