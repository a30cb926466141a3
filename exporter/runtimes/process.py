"""Run a model in a program in its own process: inputs and outputs go through files.

`programs/contract.py` has the contract of such a program. If its process ends, that is an error of the case.
"""

from __future__ import annotations

import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from signal import Signals
from threading import Event, Timer
from typing import IO

import numpy as np
import safetensors
import safetensors.numpy

from ..errors import first_line
from .placement import Placement
from .programs.contract import READY
from .session import Array

SECONDS = 300.0
_CASE = "case"


class ProgramError(Exception):
    """A program did not run a model or a case: its own sentence, or how its process ended."""


class ProcessSession:
    """A session that hands each case to a program, which must return `outputs`."""

    def __init__(
        self,
        program: Serving,
        outputs: Sequence[str],
        placement: Placement,
        hides_nan: str = "",
        spreads_nan: bool = False,
    ) -> None:
        self._program = program
        self._outputs = outputs
        self._placement = placement
        self._hides_nan = hides_nan
        self._spreads_nan = spreads_nan

    @property
    def hides_nan(self) -> str:
        return self._hides_nan

    @property
    def spreads_nan(self) -> bool:
        return self._spreads_nan

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with tempfile.TemporaryDirectory() as folder:
            cases, out = Path(folder, "cases.safetensors"), Path(folder, "out.safetensors")
            given = {f"{_CASE}/inputs/{name}": np.asarray(array, order="C") for name, array in inputs.items()}
            safetensors.numpy.save_file(given, cases)
            self._program(cases, out)
            got = _read(out)
        missing = [name for name in self._outputs if f"{_CASE}/outputs/{name}" not in got]
        if missing:
            raise ProgramError(f"the program handed back no {missing[0]}")
        return {name: got[f"{_CASE}/outputs/{name}"] for name in self._outputs}

    def placement(self) -> Placement:
        return self._placement


def _read(out: Path) -> dict[str, Array]:
    try:
        arrays: dict[str, Array] = safetensors.numpy.load_file(out)
    except (OSError, safetensors.SafetensorError) as error:
        raise ProgramError(f"the program wrote no outputs that can be read ({first_line(error)})") from error
    return arrays


class Serving:
    """A program that loads the model once and serves; if it has ended, it is started again for the next case.

    Raises:
        ProgramError: it does not load the model.
    """

    def __init__(self, command: Sequence[str], model: Path) -> None:
        self._command = [*command, str(model.absolute())]
        self._server = _Server(self._command)

    def __call__(self, cases: Path, out: Path) -> None:
        if self._server.ended:
            self._server = _Server(self._command)
        said = self._server.ask(f"{cases}\t{out}")
        if said:
            raise ProgramError(said.removeprefix(f"{_CASE}: "))


class _Server:
    """A process that answers each line with a line; it ends with this object."""

    def __init__(self, command: Sequence[str]) -> None:
        # It stays open for as long as the process writes to it.
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, encoding="utf-8"
            )
        except OSError as error:
            self._log.close()
            raise _not_started(command, error) from error
        weakref.finalize(self, _end, self._process, self._log)
        if self._answer() != READY:
            self._process.kill()
            raise ProgramError("the program does not say that it is ready")

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def ask(self, line: str) -> str:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:  # the process has ended; `_answer` says how
            pass
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        late = Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        timer = Timer(SECONDS, give_up)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        timer.join()  # its thread would keep this object, and so the process, alive a little longer
        if line:
            return line.rstrip("\n")
        code = self._process.wait()
        self._log.seek(0)
        raise ProgramError(_late() if late.is_set() else _why(code, self._log.read()))


def _end(process: subprocess.Popen[str], log: IO[str]) -> None:
    process.kill()
    process.communicate()
    log.close()


def _not_started(command: Sequence[str], error: OSError) -> ProgramError:
    return ProgramError(f"{command[0]} does not start ({error.strerror})")


def _late() -> str:
    return f"the program did not answer within {SECONDS:g} seconds"


def _why(code: int, log: str) -> str:
    """The last words of a program that ended: its sentence, else the message of a Rust panic, else its last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if code == 2 and last:
        return last
    said = next((after for line, after in pairwise(lines) if " panicked at " in line), last)
    how = Signals(-code).name if code < 0 else f"exit code {code}"
    return f"its process ended with {how}{': ' if said else ''}{said}"
