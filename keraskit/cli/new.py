"""`keraskit new`: a recipe of one's own, begun as a copy of mlp, and its test."""

import re
from pathlib import Path

from keraskit.errors import UserError
from keraskit.files import check_folder, write_text
from keraskit.registry import find_card

TEST = '''"""NAME builds, and a tiny run of it learns."""

import keraskit
from NAME import build, recipe


def test_it_builds():
    assert build().count_params() > 0


def test_a_tiny_run_finishes(tmp_path):
    result = keraskit.run(recipe, quick=True, output_dir=tmp_path)
    assert (result.folder / "report.html").is_file()
    assert result.history[-1]["loss"] < result.history[0]["loss"]
'''


def new(name: str, folder: Path) -> list[Path]:
    """Write NAME.py and test_NAME.py into a folder. Raises UserError for a name that is none, or taken."""
    if not name.isidentifier():
        raise UserError(f"{name!r} cannot be a Python module's name.", "Take letters, digits and underscores.")
    source = find_card("mlp").source.read_text("utf-8").partition('"""\n')[2].replace('name="mlp"', f'name="{name}"')
    source = re.sub(r"    (section|expected)=.*\n", "", source)  # what holds for mlp alone
    doc = f'"""{name}: begun as mlp.\n\n    keraskit run ./{name}.py\n"""\n'
    texts = {folder / f"{name}.py": doc + source, folder / f"test_{name}.py": TEST.replace("NAME", name)}
    check_folder(folder, "--folder")
    for file in texts:
        if file.exists():
            raise UserError(f"{file} is there already.", "Take another name.")
    for file, text in texts.items():
        write_text(file, text)
    return list(texts)
