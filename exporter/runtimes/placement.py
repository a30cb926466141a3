"""Where a session ran: the execution provider that was asked for, and which operators ran on which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["computes", "drives", "sizes", "copies"]

# A sentence names so many operators; the table has them all.
_SHOWN = 3


@dataclass(frozen=True)
class Ran:
    """One kind of operator on one execution provider: how often it ran in a run of the model, its share of the time.

    "computes": it works on the model's data. "drives": Scan, Loop or If, which runs the nodes in its body and computes
    nothing itself. "sizes": it reads no more than a few integers, the sizes of tensors. "copies": from one provider's
    memory to another's. The time of a body's nodes is theirs alone.
    """

    operator: str
    provider: str
    runs: int
    share: float
    role: Role


@dataclass(frozen=True)
class Placement:
    """The provider that was asked for, the runtime's version, and what ran where, as far as that is recorded."""

    provider: str
    version: str
    nodes: Sequence[Ran] = ()

    @property
    def absent(self) -> bool:
        """Whether nodes ran, and not one on the provider."""
        return bool(self.nodes) and not any(ran.provider == self.provider for ran in self.nodes)

    @property
    def fallback(self) -> tuple[Ran, ...]:
        """What should have run on the provider and did not: all of it, where not one node ran there."""
        if self.absent:
            return tuple(self.nodes)
        return tuple(ran for ran in self.nodes if ran.provider != self.provider and ran.role == "computes")

    @property
    def failure(self) -> str:
        """What ran elsewhere, in words; empty where nothing did."""
        if self.absent:
            return f"not one node ran on {self.provider}"
        shown = [
            f"{ran.operator} ({ran.runs} {'run' if ran.runs == 1 else 'runs'}, {100 * ran.share:.2g}% of the time) "
            f"ran on {ran.provider}"
            for ran in self.fallback[:_SHOWN]
        ]
        more = len(self.fallback) - len(shown)
        return ", ".join([*shown, *([f"and so did {more} more"] if more > 0 else [])])

    def to_json(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "version": self.version,
            "fallback": [ran.operator for ran in self.fallback],
            "nodes": [{**vars(ran), "share": round(ran.share, 4)} for ran in self.nodes],
        }
