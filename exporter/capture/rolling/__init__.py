"""Python loops over time, rolled back: a model that runs at one length becomes a program that runs at every length.

PyTorch unrolls a loop when it captures a model. Captured at two lengths that differ by one step, the operations that
repeat are found, and become one `scan`.
"""

from __future__ import annotations

from .lengths import export_rolled
from .repeats import UnlikeError

__all__ = ["UnlikeError", "export_rolled"]
