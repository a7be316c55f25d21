"""Runs recipes in full, with several seeds, one process after another, and writes what they measured: `make results`.

    python benchmarks/results.py mlp cnn --readme README.md
    python benchmarks/results.py cats_dogs --flags "--data-dir train.zip" --again

It goes on where it was stopped, after the last seed that was done.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import cyclopts
import table

from keraskit import files
from keraskit.errors import UserError
from keraskit.registry import find_card, recipes_available
from keraskit.runs.folder import RunFolder

DAYS = ("vgg16",)  # on a small machine; what is called after cats and dogs is in want of photographs


def measure(
    *names: str,
    to: Path = Path("docs/results.json"),
    output_dir: Path = Path("runs"),
    readme: Path | None = None,
    again: bool = False,
    seeds: Annotated[int, cyclopts.Parameter(validator=cyclopts.validators.Number(gte=1))] = table.SEEDS,
    flags: Annotated[str, cyclopts.Parameter(allow_leading_hyphen=True)] = "",
) -> None:
    """Run each recipe that has no up-to-date entry, and record each seed as soon as it is done.

    Args:
        names: Recipes; all but those that need days or photographs when none is named.
        to: The JSON file to record in.
        output_dir: Folder of the runs.
        readme: A page whose table is rewritten from the file.
        again: Measure also what is up to date.
        seeds: How many.
        flags: More flags for each run, as one word: "--data-dir train.zip".
    """
    more = shlex.split(flags)
    known = [name for name in recipes_available() if name not in DAYS and not name.startswith("cats_dogs")]
    cards = [card for card in map(find_card, names or known) if hasattr(card.recipe, "functions")]
    for card in cards:
        wanted = [str(seed) for seed in range(seeds)]
        entry = None if again else table.read(to).get(card.name)
        if entry and entry["source_sha256"] != card.sha256:
            entry = None
        missing = [seed for seed in wanted if not entry or seed not in entry["runs"]]
        if entry and not missing:
            print(f"{card.name}: measured {entry['measured']}, and its code has not changed")
        for seed in missing:
            entry = table.entry(table.run(_trained(card.name, seed, output_dir, more), card), seed, entry)
            entries = table.read(to) | {card.name: entry}
            files.write_text(to, json.dumps(dict(sorted(entries.items())), indent=2) + "\n")
    if readme:
        files.write_text(readme, table.insert(readme.read_text("utf-8"), table.read(to)))
        print(f"{readme}: table written from {to}")


def _trained(name: str, seed: str, output_dir: Path, flags: list[str]) -> RunFolder:
    """The folder of a run of the recipe in a process of its own."""
    before = set(output_dir.glob(f"{name}/*"))
    command = [sys.executable, "-m", "keraskit", "run", name, "--seed", seed, "--output-dir", str(output_dir), *flags]
    if code := subprocess.run(command, check=False).returncode:
        raise UserError(f"{name} ended with code {code}.", "The same command goes on where it stopped.")
    (folder,) = set(output_dir.glob(f"{name}/*")) - before
    return RunFolder(folder)


if __name__ == "__main__":
    try:
        cyclopts.run(measure)
    except UserError as error:
        sys.exit(f"results: {error}")
