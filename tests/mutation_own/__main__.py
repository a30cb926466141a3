"""`make mutation-own`: plants every fault, one at a time, and fails where `make test` passes all the same.

`make mutation-own FAULTS=3/10` plants every tenth, from number 3 on; `FAULTS=hash` those with that in their name.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from .faults import FAULTS, Fault
from .planting import caught_by, find, plant

# One for each core; each runs its own tests one after the other.
_AT_ONCE = 2


@dataclass(frozen=True)
class Outcome:
    """A fault, the first test that failed (empty where none did), and how many seconds that took."""

    fault: Fault
    test: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds:4.0f} s  {self.fault.name}: {self.test or 'SURVIVED'}"


def main(arguments: Sequence[str]) -> int:
    chosen = _chosen(arguments[0]) if arguments else list(FAULTS)
    for fault in FAULTS:
        find(fault)
    outcomes = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for done in as_completed(pool.submit(_try, fault) for fault in chosen):
            outcomes.append(done.result())
            print(outcomes[-1], flush=True)
    found = sum(bool(outcome.test) for outcome in outcomes)
    print(f"{found} of {len(outcomes)} faults found")
    return 0 if outcomes and found == len(outcomes) else 1


def _chosen(asked: str) -> list[Fault]:
    first, slash, step = asked.partition("/")
    return list(FAULTS[int(first) :: int(step)]) if slash else [fault for fault in FAULTS if asked in fault.name]


def _try(fault: Fault) -> Outcome:
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        plant(fault, Path(folder).resolve())
        test = caught_by(fault, Path(folder).resolve())
    return Outcome(fault, test, time.monotonic() - begin)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
