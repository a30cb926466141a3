"""What the parts of a run hand over: data alone, so that the page can be written without torch."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Written:
    """What came of one export: its size in bytes and the seconds it took, or why there is none."""

    bytes: int = 0
    seconds: float = 0.0
    reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class Machine:
    """Bytes read per second by working set in KiB, and float32 operations per second of a large product."""

    bandwidth: dict[int, float]
    sgemm: float


@dataclass(frozen=True)
class Export:
    """One export in a process that has exported before: seconds, and the size of the file."""

    model: str
    exporter: str
    T: int
    L: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class LoopTimes:
    """Seconds of a call of a loop, or of what an operator computes in its place, by form."""

    loop: str
    T: int
    seconds: dict[str, float]


@dataclass(frozen=True)
class Memory:
    """The most memory of a process that loads a file in ONNX Runtime, before it has run and after, in bytes."""

    model: str
    file: str
    T: int
    loaded: int
    run: int


@dataclass(frozen=True)
class Processes:
    """The seconds of a command from start to end, once per round."""

    command: str
    rounds: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The median."""
        return median(self.rounds)


@dataclass(frozen=True)
class MambaStep:
    """Microseconds of a step of a Mamba block at a size, by hand in eager PyTorch and in the stream of its file."""

    size: int
    eager: float
    stream: float


@dataclass(frozen=True)
class Peak:
    """The most memory of a process, in bytes, and how many times its weights that is beyond one that imports torch."""

    what: str
    bytes: int
    times_weights: float
