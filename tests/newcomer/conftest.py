"""The wheel's environment, made by `make newcomer`, and an empty folder for each way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from walking import Newcomer


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    return Newcomer(tmp_path_factory.mktemp("newcomer"), Path(os.environ["NEWCOMER"]).resolve() / "bin")
