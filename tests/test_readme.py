"""Every command and every Python example of README and guide, run as a reader would."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import charts
import handbook
import numpy as np
import pages
import pytest
import table
from conftest import ROOT, command

from keraskit.registry import find_card

README = (ROOT / "README.md").read_text() + (ROOT / "docs" / "guide.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.S) for line in block.splitlines()]
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.S)
BIN = Path(sys.executable).parent


@pytest.mark.parametrize("line", COMMANDS)
def test_command_works(line, here):
    program, *words = shlex.split(line)
    if program != "make":
        assert Path(program).name == "keraskit"
        code, _, err = command(*words)
        assert (code, err) == (0, "")
        return
    if not (BIN.parent / ".installed-dev").exists():
        pytest.skip("the tests do not run from the environment that make manages, and must not install one")
    # `make test` runs this under make; the reader's make is nobody's child.
    inner = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in inner}
    words += [f"VENV={BIN.parent}"]
    words += [f"ARGS=--epochs 1 --limit 10000 --output-dir {here}"] if words[0] == "run" else ["--dry-run"]
    done = subprocess.run(["make", *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert (done.returncode, done.stderr) == (0, "")
    if words[0] == "run":
        accuracy = float(re.search(r"test accuracy +([\d.]+)", done.stdout)[1])
        assert accuracy >= 0.85 and "report.html" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("code", EXAMPLES, ids=lambda code: code.splitlines()[0])
def test_python_example_works(code, tmp_path, preforked):
    program = tmp_path / "mymodel.py"
    program.write_text(code)
    done = preforked.run(program, [], tmp_path)
    assert done.returncode == 0, done.stderr
    if "first_page" in code:  # learned by fit, and by hand
        accuracies = [float(each) for each in re.findall(r"accuracy (0\.\d{4})$", done.stdout, re.M)]
        assert len(accuracies) == 2 and min(accuracies) > 0.88
    if "from_arrays" in code:
        assert done.stderr == ""
        report = tmp_path / re.search(r"^report +(.*)", done.stdout, re.M)[1]
        assert report.is_file() and report.parts[-4:-2] == ("runs", "mymodel")
        epochs = re.findall(r"^Epoch (\d+)/100", done.stdout, re.M)
        assert 5 < len(epochs) <= 100


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_headings_that_a_page_names_are_there(page):
    for target in re.findall(r"\]\((?!http)([^)]+)\)|<img src=\"([^\"]+)", page.read_text("utf-8")):
        name, _, anchor = "".join(target).partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        if anchor:
            text = path.read_text("utf-8")
            headings = {handbook.anchor(heading) for heading in re.findall(r"^#+ (.*)", text, re.M)}
            assert anchor in headings or f'<a id="{anchor}">' in text, target


@pytest.mark.parametrize("name", pages.PAGES)
def test_tables_are_current(name):
    assert (ROOT / name).read_text("utf-8") == pages.PAGES[name](), "run `make docs`"


@pytest.mark.parametrize("name", charts.CHARTS)
def test_charts_show_what_the_benchmarks_recorded(name):
    assert charts.digest(name) in (ROOT / "docs" / "charts" / f"{name}.svg").read_text("utf-8"), "run `make docs`"
    assert f"(charts/{name}.svg)" in pages.page()


MEASURED = table.read(ROOT / "docs" / "results.json")


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_recipes_reach_what_they_promise_in_the_time_that_they_name(name):
    card, entry = find_card(name), MEASURED[name]
    promise = " ".join(card.doc.partition("Expected: ")[2].split())
    amount, unit, cores = re.search(r"(\d+) (s|min) on (one|two) CPU cores?", promise).groups()
    assert entry["flags"] == table.measured_with(card.recipe), "the table's run was another than the promised one"
    for metric, value in card.recipe.expected.items():
        measured = [run["test"][metric.removeprefix("test_")] for run in entry["runs"].values()]
        assert value == round(np.mean(measured), 4), "the README shows another number"
        between = card.recipe.expected_spread.get(metric, 0)
        assert not between or between == round(np.std(measured, ddof=1), 4)
        widths = np.sqrt(value * (1 - value) / (1_752 if "cats" in name else 10_000) + between**2)
        assert all(abs(each - value) < 2 * widths for each in measured), "a run would be called better, or below"
    assert {"one": 1, "two": 2}[cores] == entry["hardware"]["cores"]
    assert int(amount) == round(entry["total_seconds"] / {"s": 1, "min": 60}[unit])
