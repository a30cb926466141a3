"""`rnn-export` as a user types it."""

from __future__ import annotations

import subprocess
import sys


def rnn_export(*arguments: str, ends_with: int = 0) -> str:
    """What it prints; it has to end with this exit code."""
    command = [sys.executable, "-W", "ignore", "-m", "rnn_export", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == ends_with, ended.stderr or ended.stdout
    return ended.stdout
