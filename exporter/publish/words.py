"""What the words on a page mean: on hover, and in a list at its end of those that it uses."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

# Words of docs/glossary.md are explained as there.
MEANINGS = {
    "case": "one set of sizes and values that a file is run on and compared at",
    "chunk": "a part of a sequence, some steps long, that a stream is fed at once",
    "error": "the largest difference of an output from the reference",
    "execution provider": "the part of ONNX Runtime that runs nodes on one kind of device: CPU, CUDA, WebGPU",
    "fed": "whether the sequence went in whole, or in chunks of so many steps, its states carried along",
    "float64": "numbers of 64 bits: the same model computed in them is the reference for what is right",
    "limit": "how large the error of an element may be",
    "opset": "the version of ONNX's operators that a file uses",
    "reference": "the same model computed in float64",
    "scale": "of an output: its largest typical magnitude; int8 and float16 errors are relative to it",
    "seed": "the number that random values are drawn from: with the same one, the same cases",
    "share": "the error in terms of its limit: up to 100% is right",
    "ulp": "unit in the last place: the distance from a number to the next one that its dtype has",
    "values": "what the inputs are: ordinary, zero, very small, very large, or with NaN and infinity",
    "EXPECTED": "right, except for a known deviation of the runtime, which is named",
    "FAIL": "an output is beyond its limit, the runtime raised, a weight differs, or it ran elsewhere than asked",
    "PASS": "every output is within its limit",
    "REFUSED": "PyTorch itself does not run the case, so that there is nothing to compare",
    "UNVERIFIED": "no case was wrong, and none shows anything of one of the outputs",
    "H": "hidden size: the units of a layer",
    "I": "input size: the features of a step",
    "N": "batch size: how many sequences at once",
    "T": "the number of time steps",
}
_FOUND = re.compile(rf"\b({'|'.join(map(re.escape, MEANINGS))})(s?)\b")


class Words:
    """Explains words of one page, and keeps which of them it has explained."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def explain(self, text: str, word: str = "") -> Markup:
        """A text that is one of the words, or stands for `word`."""
        word = word or text
        if word not in MEANINGS:
            return escape(text)
        self._used.add(word)
        return Markup('<abbr title="{}">{}</abbr>').format(MEANINGS[word], text)

    def explain_in(self, sentence: str) -> Markup:
        """A sentence, each of its words explained where it is first used."""
        parts: list[Markup] = []
        end, seen = 0, set[str]()
        for found in _FOUND.finditer(sentence):
            if found[1] not in seen:
                seen.add(found[1])
                parts += [escape(sentence[end : found.start()]), self.explain(found[0], found[1])]
                end = found.end()
        return Markup("").join([*parts, escape(sentence[end:])])

    def used(self) -> dict[str, str]:
        """The words explained so far, with what they mean."""
        return {word: meaning for word, meaning in MEANINGS.items() if word in self._used}
