"""A loaded artifact: what runs it, how it is started, and where its operators ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ProviderOptions:
    """What an execution provider is given, where it comes from, and whether the CPU may help.

    `options` are the provider's own, such as `{"use_tf32": "1"}`. `library` is a plug-in that holds the provider. With
    `strict` the runtime itself refuses a model of which any node, be it a loop's or a size's, would go to the CPU.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    library: Path | None = None
    strict: bool = False

    @property
    def tf32(self) -> bool:
        """Whether CUDA's products of float32 may be computed in TensorFloat-32; only if it is asked for."""
        return self.options.get("use_tf32") == "1"

    @property
    def plain(self) -> bool:
        return self == ProviderOptions()


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


Array = NDArray[np.generic]


class Session(Protocol):
    """A model that a runtime has loaded."""

    @property
    def hides_nan(self) -> str:
        """Names a kernel in use that is known to treat NaN otherwise than PyTorch; empty if there is none."""

    @property
    def spreads_nan(self) -> bool:
        """Whether that kernel lets one sequence's NaN or infinity reach every other sequence of a batch."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name; raises whatever the runtime raises."""

    def placement(self) -> Placement:
        """Which provider was asked for, and what ran where in the session's first run."""


@dataclass(frozen=True)
class SessionWrapper:
    """Feeds another session in a way of its own; kernels, and where they run, are that one's."""

    session: Session

    @property
    def hides_nan(self) -> str:
        return self.session.hides_nan

    @property
    def spreads_nan(self) -> bool:
        return self.session.spreads_nan

    def placement(self) -> Placement:
        return self.session.placement()
