"""`rnn-export`, and `python -m rnn_export`: the command line as a process of its own."""

from __future__ import annotations

import gc

from .cli.main import main

# The default, 700 new objects, has all objects looked through some 30 times while PyTorch is imported.
_COLLECT_AFTER = 100_000


def run() -> None:
    """Run the command in `sys.argv`, and end the process."""
    # Nearly all objects of an export are PyTorch's modules and what is in them, and live until the end: to search them
    # for garbage takes a part of an export's time. Freezing them spares the search when the process ends.
    gc.set_threshold(_COLLECT_AFTER)
    try:
        main(prog_name="rnn-export")
    finally:
        gc.freeze()


if __name__ == "__main__":
    run()
