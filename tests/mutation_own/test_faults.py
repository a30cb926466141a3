"""The table of faults fits the code: each can be planted, and changes a file to Python that is another."""

from __future__ import annotations

from pathlib import Path

import pytest

from .faults import FAULTS, Fault
from .planting import find, plant

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_fault_changes_one_file(fault: Fault, tmp_path: Path) -> None:
    path = plant(fault, tmp_path)
    changed = path.read_text(encoding="utf-8")
    assert changed != find(fault).read_text(encoding="utf-8")
    compile(changed, path.name, "exec")
    assert all((TESTS / test).exists() for test in fault.tests)
