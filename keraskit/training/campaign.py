"""`keraskit results`: runs recipes in full, one process after another, and writes what they measured."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from keraskit import files
from keraskit.errors import UserError
from keraskit.registry import find_card, recipes_available
from keraskit.results import table
from keraskit.results.run_folder import RunFolder

NOT_BY_DEFAULT = {  # days on a small machine; or in want of photographs
    "vgg16",
    "cats_dogs",
    "cats_dogs_augmented",
    "cats_dogs_features",
    "cats_dogs_finetune",
}


def measure(
    names: Sequence[str], to: Path, output_dir: Path, readme: Path | None, again: bool = False, flags: str = ""
) -> None:
    """Run each recipe that has no up-to-date entry, and record it as soon as it is done, so that this can be resumed.

    Args:
        names: recipes; all but those that need days or photographs when empty.
        to: the JSON file.
        output_dir: where the runs go.
        readme: a page whose table is rewritten from the file; None for none.
        again: measure also what is up to date.
        flags: more flags for each run, such as "--data-dir train.zip".

    Raises:
        UserError: a run failed; what was measured before it is kept.
    """
    try:
        more = shlex.split(flags)
    except ValueError as error:
        raise UserError(f"--flags {flags!r} cannot be split into words: {error}.", "Close its quotes.") from error
    files.check_file(to)
    cards = [find_card(name) for name in names or recipes_available() if names or name not in NOT_BY_DEFAULT]
    cards = [card for card in cards if card.trains]
    to.parent.mkdir(parents=True, exist_ok=True)
    for card in cards:
        entries = table.read(to)
        if not again and entries.get(card.name, {}).get("source_sha256") == card.sha256:
            print(f"{card.name}: measured {entries[card.name]['measured']}, and its code has not changed")
            continue
        before = set(output_dir.glob(f"{card.name}/*"))
        command = [
            sys.executable,
            "-m",
            "keraskit",
            "run",
            card.name,
            "--output-dir",
            str(output_dir),
            *more,
        ]
        if code := subprocess.run(command, check=False).returncode:
            raise UserError(f"{card.name} ended with code {code}.", "The same command goes on where it stopped.")
        (folder,) = set(output_dir.glob(f"{card.name}/*")) - before
        entries = table.read(to) | {card.name: table.entry(RunFolder(folder), card)}
        RunFolder(to.parent).write_text(to.name, json.dumps(dict(sorted(entries.items())), indent=2) + "\n")
    if readme:
        RunFolder(readme.parent).write_text(readme.name, table.insert(readme.read_text("utf-8"), table.read(to)))
        print(f"{readme}: table written from {to}")
