"""`python -m wild` runs every model and writes the pages; with words, the models whose name has one of them.

With `--page=recurrences` (or `compatibility`) it runs the models of that page, and writes that page alone. With
`--check` the stock exporters are left out, and the pages stay as they are; with `--sample 3/10` so are all models but
every tenth, from number 3 on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .exporters import WAYS
from .model import Model, Result
from .page import COMPATIBILITY, RECURRENCES, Page, render, surprises
from .processes import attempt_all
from .zoo import APPLICATIONS
from .zoo import RECURRENCES as OF_TODAY

JOBS = 2
FOLDER = Path(__file__).parents[2] / "docs" / "internals"
PAGES: Mapping[Page, Sequence[Model]] = {COMPATIBILITY: APPLICATIONS, RECURRENCES: OF_TODAY}


def main(words: Sequence[str]) -> int:
    sample = words[words.index("--sample") + 1] if "--sample" in words else "0/1"
    is_check = "--check" in words or "--sample" in words
    only = [word.removeprefix("--page=") for word in words if word.startswith("--page=")]
    pages = {page: models for page, models in PAGES.items() if not only or page.name in only}
    words = [word for word in words if not word.startswith("--") and word != sample]
    chosen = [
        model for models in pages.values() for model in models if not words or any(word in model.key for word in words)
    ]
    first, _, step = sample.partition("/")
    chosen = chosen[int(first) :: int(step)]
    found: dict[Model, dict[str, Result]] = {model: {} for model in chosen}
    for model, way, result in attempt_all(chosen, ["ours"] if is_check else list(WAYS), JOBS):
        found[model][way] = result
        print(f"{way:12}{result.outcome:12}{model.key}{result.reason and '  ' + result.reason}", flush=True)
    if not words and not is_check:
        for page, models in pages.items():
            (FOLDER / f"{page.name}.md").write_text(render(page, {model: found[model] for model in models}))
    unexpected = list(surprises(found))
    print(*unexpected, sep="\n")
    print(f"{len(found) - len(unexpected)} passed, {len(unexpected)} failed")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
