"""How a session is to be started, beyond the name of the runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Launch:
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
        return self == Launch()
