"""`python -m wild` runs every model and writes the page; with words, the models whose name has one of them.

With `--check` the stock exporters are left out, and the page stays as it is; with `--sample 3/10` so are all models but
every tenth, from number 3 on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .exporters import WAYS
from .model import Model, Result
from .page import render, surprises
from .processes import attempt_all
from .zoo import MODELS

JOBS = 2
PAGE = Path(__file__).parents[2] / "docs" / "internals" / "compatibility.md"


def main(words: Sequence[str]) -> int:
    sample = words[words.index("--sample") + 1] if "--sample" in words else "0/1"
    is_check = "--check" in words or "--sample" in words
    words = [word for word in words if not word.startswith("--") and word != sample]
    chosen = [model for model in MODELS if not words or any(word in model.key for word in words)]
    first, _, step = sample.partition("/")
    chosen = chosen[int(first) :: int(step)]
    found: dict[Model, dict[str, Result]] = {model: {} for model in chosen}
    for model, way, result in attempt_all(chosen, ["ours"] if is_check else list(WAYS), JOBS):
        found[model][way] = result
        print(f"{way:12}{result.outcome:12}{model.key}{result.reason and '  ' + result.reason}", flush=True)
    if not words and not is_check:
        PAGE.write_text(render(found))
    unexpected = list(surprises(found))
    print(*unexpected, sep="\n")
    print(f"{len(found) - len(unexpected)} passed, {len(unexpected)} failed")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
