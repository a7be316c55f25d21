"""The pages in docs/: generated ones are current, the map has all of the document, both languages say the same."""

import hashlib
import re
import shlex
import tomllib

import handbook
import pytest
from conftest import ROOT, shared

from keraskit.cli import app
from keraskit.datasets import digits

DOCS = ROOT / "docs"
SECTIONS = tomllib.loads((DOCS / "document-map.toml").read_text("utf-8"))["section"]
ROWS = [row for section in SECTIONS for row in (section, *section.get("block", []))]


@pytest.mark.parametrize("name", handbook.PAGES)
def test_a_generated_page_is_current(name):
    assert (DOCS / name).read_text("utf-8") == handbook.PAGES[name](), "run `make docs`"


def test_the_map_has_every_section_and_every_code_block_of_the_document():
    either = r"^```[^\n]*\n(?P<code>.*?)\n?^```|^#+\s+\**\s*(?P<number>\d+(?:\.\d+)*)?"
    found = []
    for match in re.finditer(either, shared("../document.md").read_text("utf-8"), re.M | re.S):
        if match["code"] is None:
            found.append((match["number"] or "", []))
        else:
            found[-1][1].append(hashlib.sha256(match["code"].encode()).hexdigest()[:16])
    assert sum(len(blocks) for _, blocks in found) == 72
    assert [(s["number"], [block["sha256"] for block in s.get("block", [])]) for s in SECTIONS] == found


OUTPUTS = ("--output", "--sheet", "--explain", "--graph")


def parsed(words):
    """Raise what `keraskit WORDS` would refuse its words with, without running anything."""
    app.app(words).parse_args(words, exit_on_error=False, print_error=False)


def test_every_part_of_the_document_has_a_home_and_a_valid_command():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    assert all(row["home"] and row["en"] and row["zh"] for row in ROWS)
    assert all("command" in row or any(home.startswith("chapter ") for home in row["home"]) for row in ROWS)
    for command in {row["command"] for row in ROWS if "command" in row}:
        program, *words = shlex.split(command)
        assert program in ("keraskit", "python") or (program == "make" and words[0] in (*targets, "run"))
        files = [word for word in words if re.search(r"^[^A-Z]+\.(npy|npz|png|jpg)$", word)]  # PHOTO.jpg is anyone's
        assert all((ROOT / file).exists() or words[words.index(file) - 1] in OUTPUTS for file in files), command
        if program == "python":
            exec(words[1].partition(";")[0])  # what is called can be imported
        if program == "keraskit":
            parsed(words)  # the recipe, the verb and the flags exist


@pytest.mark.parametrize("ending", [".md", ".zh-CN.md"])
def test_what_differs_is_explained_in_a_row_of_errata(ending):
    told = dict(re.findall(r'^\| <a id="([\w-]+)"></a>(.*?) \|', (DOCS / f"ERRATA{ending}").read_text("utf-8"), re.M))
    links = re.findall(rf"\(ERRATA{re.escape(ending)}(#[\w-]+)?\)", (DOCS / f"document-map{ending}").read_text("utf-8"))
    for section in SECTIONS:
        for row in (section, *section.get("block", [])):
            if "differs" in row:
                assert links.pop(0) == f"#{row['differs']['errata']}"
                chapter = section["number"].split(".")[0]
                assert re.search(rf"(?<![\d.]){chapter}\b", told[row["differs"]["errata"]]), section
    assert not links


PAIRS = (
    *("README.md", "docs/guide.md", "docs/cats_and_dogs.md", "docs/document-map.md", "docs/teaching.md"),
    "docs/ERRATA.md",
)


@pytest.mark.parametrize("name", PAIRS)
def test_both_languages_link_to_each_other_and_have_the_same_commands_tables_and_pictures(name):
    twin = ROOT / name.replace(".md", ".zh-CN.md")
    english, chinese = (each.read_text("utf-8") for each in (ROOT / name, twin))
    assert f"({twin.name})" in english and f"({(ROOT / name).name})" in chinese
    for what in (
        r"^```\w*\n.*?^```",  # code
        r"`((?:keraskit|make|python|pip install|PIP_INDEX_URL)[ =][^`<]*)",  # commands within a line
        r"!\[[^]]*\]\(([^)]+)\)",  # pictures
        r"^\|(?: -+:? \|)+$",  # tables, by their columns
        r"\b\d+\.\d{4}\b",  # results
    ):
        found = [re.findall(what, text, re.M | re.S if "```" in what else re.M) for text in (english, chinese)]
        lacking = set(found[0]).symmetric_difference(found[1])
        assert not lacking and len(found[0]) == len(found[1]), lacking
    rows = [len(re.findall(r"^\|", text, re.M)) for text in (english, chinese)]
    assert rows[0] == rows[1]


def test_each_row_of_errata_has_the_same_code_and_numbers_in_both_languages():
    english, chinese = (
        [sorted(re.findall(r"`[^`]+`|\d+(?:[.,]\d+)*", row)) for row in re.findall(r"^\| .*", text, re.M)]
        for text in ((DOCS / name).read_text("utf-8") for name in ("ERRATA.md", "ERRATA.zh-CN.md"))
    )
    assert english == chinese


SHOWN = {
    line.strip()
    for path in [*ROOT.glob("*.md"), *DOCS.glob("*.md")]
    for _, block in re.findall(r"^```(text|sh)\n(.*?)^```", path.read_text("utf-8"), re.M | re.S)
    for line in block.splitlines()
    if re.match(r"\s*(\.venv/bin/)?keraskit [a-z]", line) and path.name not in ("cli.md", "ARCHITECTURE.md")
}


@pytest.mark.parametrize("line", sorted(SHOWN))
def test_a_command_that_a_page_shows_is_one(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = (ROOT / "recipes" / "mlp.py").read_text("utf-8")  # with the README's flag as well
    (tmp_path / "mymodel.py").write_text(own.replace("hidden: tuple", "units: int = 1, hidden: tuple", 1))
    parsed(shlex.split(line, comments=True)[1:])


def test_the_data_of_ones_own_that_a_teacher_is_shown_can_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "teaching.md").read_text("utf-8"), re.S)
    exec(code, {})
    assert digits.images("leaves.npz").classes == ("maple", "oak", "willow")
