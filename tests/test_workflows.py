"""The hosted checks: they run what .ci/run runs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_workflow_has_the_targets_of_the_local_run() -> None:
    run = (ROOT / ".ci" / "run").read_text()
    local = re.findall(r"^ *(?:.+ \|\| )?part ([a-z-]+)(?= |$)", run, flags=re.MULTILINE)
    hosted = re.findall(r"- run: make ([a-z-]+)", (ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert {*hosted} == {*local}
