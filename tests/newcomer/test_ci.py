"""Someone who runs CI: the page, JUnit's XML, and an exit code that fails the build."""

from __future__ import annotations

from xml.etree import ElementTree

from doc_blocks import DOCS
from walking import Newcomer


def test_the_page_and_what_it_writes(newcomer: Newcomer) -> None:
    newcomer.follow(DOCS / "how-to" / "ci.md")
    root = ElementTree.parse(newcomer.folder / "verify.xml").getroot()
    assert len(list(root.iter("testcase"))) > 20
    assert not list(root.iter("failure"))


def test_a_file_that_was_changed_fails_the_build(newcomer: Newcomer) -> None:
    model = newcomer.folder / "artifacts" / "single" / "model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    said = newcomer.type("rnn-export verify artifacts/single --quiet --junit changed.xml", code=2)
    assert "is not as it was written" in said
    assert "is not as it was written" in (newcomer.folder / "changed.xml").read_text()
