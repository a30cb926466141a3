"""The words that a page explains."""

from __future__ import annotations

import re
from pathlib import Path

from rnn_export.publish.words import MEANINGS, Words

GLOSSARY = Path(__file__).parents[2] / "docs/glossary.md"


def test_meanings_are_those_of_the_glossary() -> None:
    text = re.sub(r" \(\[[^)]*\)\)", "", GLOSSARY.read_text())
    glossary = dict(re.findall(r"^\| (.+?) \| (.+) \|$", text, re.MULTILINE))
    shared = MEANINGS.keys() & glossary.keys()
    assert {"case", "limit", "ulp", "T", "N"} <= shared
    assert {word: MEANINGS[word] for word in shared} == {word: glossary[word] for word in shared}


def test_words_in_a_sentence_are_explained_once() -> None:
    words = Words()
    html = words.explain_in("20 cases, T 1 to 7; a case <of> Tom.")
    assert html.count("<abbr") == 2
    assert f'<abbr title="{MEANINGS["case"]}">cases</abbr>' in html
    assert "&lt;of&gt; Tom." in html
    assert [*words.used()] == ["case", "T"]


def test_other_words_are_left_as_they_are() -> None:
    assert Words().explain("<L>") == "&lt;L&gt;"
