"""The pages in docs/: generated ones are current, the map has all of the document, both languages say the same."""

import hashlib
import re
import shlex
import sys
import tomllib

import pytest
from conftest import ROOT
from shared_data import shared

from keraskit.cli import app

sys.path.insert(0, str(ROOT / "benchmarks"))  # programs, which find each other so

import handbook

DOCS = ROOT / "docs"
SECTIONS = tomllib.loads((DOCS / "document-map.toml").read_text("utf-8"))["section"]
ROWS = [row for section in SECTIONS for row in (section, *section.get("block", []))]


@pytest.mark.parametrize("name", handbook.PAGES)
def test_a_generated_page_is_current(name):
    assert (DOCS / name).read_text("utf-8") == handbook.PAGES[name](), "run `make docs`"


def test_the_map_has_every_section_and_every_code_block_of_the_document():
    found, fence = [], None
    for line in shared("../document.md").read_text("utf-8").splitlines():
        if line.startswith("```"):
            if fence is None:
                fence = []
            else:
                found[-1][1].append(hashlib.sha256("\n".join(fence).encode()).hexdigest()[:16])
                fence = None
        elif fence is not None:
            fence.append(line)
        elif heading := re.match(r"#+\s+\**\s*(\d+(?:\.\d+)*)?", line):
            found.append((heading[1] or "", []))
    assert sum(len(blocks) for _, blocks in found) == 72
    assert [(s["number"], [block["sha256"] for block in s.get("block", [])]) for s in SECTIONS] == found


def test_every_part_of_the_document_has_a_home_and_a_valid_command():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    for row in ROWS:
        assert row["home"] and row["en"] and row["zh"]
        program, *words = shlex.split(row.get("command", "make test"))
        if program == "keraskit":
            app.check(words)  # parses: the recipe, the verb and the flags exist
        else:
            assert program == "make" and words[0] in (*targets, "run")


def test_what_differs_is_explained_in_errata():
    told = (DOCS / "ERRATA.md").read_text("utf-8")
    for section in SECTIONS:
        if any("differs" in row for row in (section, *section.get("block", []))):
            chapter = section["number"].split(".")[0]
            assert re.search(rf"\b{re.escape(section['number'])}\b|sections? {chapter}\b|, {chapter}\b", told), section
