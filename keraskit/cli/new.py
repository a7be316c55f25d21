"""`keraskit new`: a recipe of one's own, begun as a copy of mlp."""

import re
from pathlib import Path

from keraskit.errors import UserError
from keraskit.files import write_text
from keraskit.registry import find_card


def new(name: str, folder: Path) -> Path:
    """Write NAME.py into a folder. Raises UserError for a name that is none, or taken."""
    if not name.isidentifier():
        raise UserError(f"{name!r} cannot be a Python module's name.", "Take letters, digits and underscores.")
    file = folder / f"{name}.py"
    if file.exists():
        raise UserError(f"{file} is there already.", "Take another name.")
    source = find_card("mlp").source.read_text("utf-8").partition('"""\n')[2].replace('name="mlp"', f'name="{name}"')
    source = re.sub(r"    (section|expected)=.*\n", "", source)  # what holds for mlp alone
    write_text(file, f'"""{name}: begun as mlp.\n\n    keraskit run ./{name}.py\n"""\n{source}')
    return file
