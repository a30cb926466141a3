"""What is known of a trained model: how a user exports it, how it is built, and what its package answers with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

# Text, labels and numbers, by name.
Answer = Mapping[str, Any]

# What a package calls its network: tensors in, a tensor or a tuple of them out.
Forward = Callable[..., Any]

PACKAGES = Path(__file__).parents[2] / "build" / "trained"


@dataclass(frozen=True)
class Trained:
    """A trained model of a package.

    `export` gives the arguments of `rnn-export onnx` but for `--out`; what it needs besides, it writes to the folder.
    `build` is the module with its weights. `answer` runs the package's own Python on `said`, with its own network, or
    with another in its place.
    """

    key: str
    what: str
    said: str
    export: Callable[[Path], list[str]]
    build: Callable[[], nn.Module]
    answer: Callable[[Forward | None], Answer]
