"""Did you mean: the known names that an unknown word may stand for."""

import difflib
import re
from collections.abc import Iterable
from itertools import takewhile

MOST = 3  # more names than these are no answer
_CALLED = {  # what people type, by what it is here, and perhaps a value
    "run": "train fit start learn",
    "list": "ls recipes models",
    "show": "summary describe info view",
    "autotune": "benchmark tune",
    "doctor": "check env",
    "compare": "diff",
    "resume": "continue restart",
    "predict": "infer evaluate test",
    "learning-rate": "lr rate",
    "batch-size": "bs",
    "seed": "randomstate",
    "limit": "n subset samples examples",
    "quick": "fast dryrun smoke",
    "output-dir": "o out dir logdir savedir",
    "weights": "pretrained init load",
    "device gpu": "gpu cuda",
    "device cpu": "cpu",
    "devices": "gpus ngpus",
    "threads": "cores cpus jobs",
    "precision": "fp16 bf16 amp mixedprecision dtype",
    "xla": "jit jitcompile compile",
}
_SYNONYMS = {word: meant.partition(" ") for meant, words in _CALLED.items() for word in words.split()}


def nearest(word: str, names: Iterable[str]) -> list[str]:
    """Of these flags, commands or recipes those that a word may mean, the likeliest first; empty where none is like it.

    Case, dashes and underscores do not count, nor does what stands before a name's last dot, such as `--augment.`.
    """
    said = plain(word)
    whole = {name: plain(name) for name in names}
    last = {name: plain(name.rpartition(".")[2]) for name in whole}
    meant, _, value = _SYNONYMS.get(said, ("", "", ""))
    if found := [f"{name} {value}".strip() for name in whole if meant and whole[name] == plain(meant)]:
        return found
    if same := [name for name in whole if said in (whole[name], last[name])]:
        return same[:1]
    if len(said) < 3:
        return []  # too short to be like anything
    begin = [name for name in whole if whole[name].startswith(said)]
    inside = begin or [name for name in whole if said in last[name]]
    if 0 < len(inside) <= MOST:
        return inside
    likeness = {name: max(_likeness(said, whole[name]), _likeness(said, last[name])) for name in whole}
    best = max(whole, key=lambda name: likeness[name], default="")
    return [best] if best and likeness[best] > (0.6 if len(said) < 5 else 0.7) else []


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """The same as a question; empty where nothing is like the word."""
    found = nearest(word, names)
    return f"Did you mean {' or '.join(found)}?" if found else ""


def plain(word: str) -> str:
    """The word without case, dashes and the like."""
    return re.sub(r"[^a-z0-9]", "", word.lower())


def _likeness(one: str, other: str) -> float:
    """From 0 to 2: what two words share, and how far they begin alike."""
    shared = difflib.SequenceMatcher(None, one, other).ratio()
    begin = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))
    return shared + begin / max(len(one), len(other), 1)
