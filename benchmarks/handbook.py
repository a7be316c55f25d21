"""Writes the pages of docs/ that say what there is, from the one place each where it stands: `make docs`.

The tutorial's map from document-map.toml, in both languages; the command line from its help; recipes and models from
the recipes' sources.
"""

import contextlib
import io
import os
import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any
from unittest import mock

from keraskit.cli import app
from keraskit.cli.app import OF_RECIPES, OTHERS
from keraskit.errors import flag
from keraskit.recipe import options_of
from keraskit.registry import Card, recipes_available

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
CHAPTERS = {path.name[0]: path.stem for path in DOCS.glob("chapters/[1-6]-*.md") if ".zh-CN" not in path.name}
ENDINGS = {"en": ".md", "zh": ".zh-CN.md"}
WORDS: dict[str, Any] = {
    "en": {
        "title": "# Where each part of the tutorial is",
        "about": "Every section and every code block of the tutorial, in its order: what it shows, what does it "
        "today, and what is different. [In Chinese](document-map.zh-CN.md).",
        "section": "## Section {}",
        "head": "| where | what it shows | what does it today | command | what is different |",
        "block": "{}, block {}",
        "chapter": "chapter {}",
        "cell": "chapter {}: {}",
        "and": ", ",
        "why": " ([why](ERRATA.md{}))",
    },
    "zh": {
        "title": "# 教程的每一部分如今在哪里",
        "about": "教程的每一节、每一段代码，按原来的顺序列出：内容是什么，如今由什么实现，有什么不同。"
        "[英文版](document-map.md)。",
        "section": "## 第 {} 节",
        "head": "| 位置 | 内容 | 如今的实现 | 命令 | 不同之处 |",
        "block": "{}，代码 {}",
        "chapter": "第 {} 章",
        "cell": "第 {} 章：{}",
        "and": "、",
        "why": "（[原因](ERRATA.zh-CN.md{})）",
    },
}


def headings(chapter: str, language: str) -> list[str]:
    """The headings of a chapter below its title."""
    text = (DOCS / "chapters" / f"{CHAPTERS[chapter]}{ENDINGS[language]}").read_text("utf-8")
    return re.findall(r"^## (.*)", text, re.M)


def anchor(heading: str) -> str:
    """The name under which pages of repositories link to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def linked(home: str, language: str) -> str:
    """A home of the map, `recipe NAME`, `page FILE`, `chapter N` or `chapter N: HEADING`, as a link."""
    kind, _, name = home.partition(" ")
    words = WORDS[language]
    if kind == "recipe":
        return f"[`{name}`](../recipes/{name}.py)"
    if kind == "page":
        page = (DOCS / name).resolve()
        translated = page.with_name(page.stem + ENDINGS[language])
        target = translated if translated.exists() else page
        return f"[{target.name}]({os.path.relpath(target, DOCS)})"
    number, _, heading = name.partition(": ")
    page = f"chapters/{CHAPTERS[number]}{ENDINGS[language]}"
    if not heading:
        return f"[{words['chapter'].format(number)}]({page})"
    heading = headings(number, language)[headings(number, "en").index(heading)]
    return f"[{words['cell'].format(number, heading)}]({page}#{anchor(heading)})"


def document_map(language: str) -> str:
    """docs/document-map.md, or its twin."""
    words = WORDS[language]
    lines = [words["title"], "", words["about"]]
    sections = tomllib.loads((DOCS / "document-map.toml").read_text("utf-8"))["section"]
    for i, section in enumerate(sections):
        number = section["number"]
        if number and "." not in number:
            lines += ["", words["section"].format(number), "", words["head"], "| --- | --- | --- | --- | --- |"]
        elif i == 0:
            lines += ["", words["head"], "| --- | --- | --- | --- | --- |"]
        rows = [(f"**{number or '0'}**", section)]
        rows += [(words["block"].format(number, n), block) for n, block in enumerate(section.get("block", []), 1)]
        for where, row in rows:
            command = row.get("command", "make notebook")  # which opens the chapters, the home of what has none
            homes = words["and"].join(linked(home, language) for home in row["home"])
            shows = f"**{row[language]}**" if row is section else row[language]
            differs = ""
            if "differs" in row:
                differs = row["differs"][language] + words["why"].format(f"#{row['differs']['errata']}")
            lines.append(f"| {where} | {shows} | {homes} | `{command}` | {differs} |")
    return "\n".join(lines) + "\n"


HELPED = ("run mlp", "run classify", "run augmentation")  # a recipe that trains, and the two that do not


def helped(words: str) -> str:
    """What `keraskit WORDS --help` prints."""
    said = io.StringIO()
    wide = mock.patch.dict(os.environ, {"COLUMNS": "100"})
    with wide, contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        app.command_line([*words.split(), "--help"])
    return said.getvalue().strip()


def command_line() -> str:
    """docs/cli.md."""
    lines = [
        "# The command line",
        "",
        "What `--help` says of every command. A recipe's own flags come after its name: [recipes.md](recipes.md).",
    ]
    verbs = sorted(["list", *chain(*OTHERS.values()), *OF_RECIPES])
    for words in ["", *verbs, *HELPED]:
        lines += ["", f"## keraskit {words}".rstrip(), "", "```text", helped(words), "```"]
    return "\n".join(lines) + "\n"


def own_flags(card: Card) -> list[str]:
    """The flags of a recipe's own functions, as a table."""
    rows = ["| flag | default | what it is |", "| --- | --- | --- |"]
    for name, option in options_of(card.recipe.functions).model_fields.items():
        values = option.default if isinstance(option.default, tuple) else (option.default,)
        shown = "" if values[0] in ("", None) or values[0] is False else f"`{' '.join(map(str, values))}`"
        rows.append(f"| `{flag(name)}` | {shown} | {' '.join((option.description or '').split())} |")
    return rows


def recipes() -> str:
    """docs/recipes.md."""
    lines = [
        "# The recipes",
        "",
        "What each says of itself, and the flags that are its own. What every run takes is in "
        "[cli.md](cli.md#keraskit-run-mlp).",
    ]
    for name, card in recipes_available().items():
        said = card.doc.partition("\n\n")[2].partition("\n\nArgs:")[0]
        said = re.sub(r"\n?^(?: {4}.*\n?)+", lambda block: f"\n```text\n{block[0].strip()}\n```\n", said, flags=re.M)
        said = re.sub(r"^ {4}", "", said, flags=re.M).strip()
        where = f"({place(card)}; [source](../recipes/{name}.py))"
        trains = hasattr(card.recipe, "functions")
        flags = own_flags(card) if trains else [f"[Its flags](cli.md#keraskit-run-{name})."]
        lines += ["", f"## {name}", "", f"{card.summary} {where}.", "", said, "", *flags]
    return "\n".join(lines) + "\n"


def place(card: Card) -> str:
    """Where in the tutorial a recipe is."""
    return re.search(r"\((?:tutorial, )?(.*?)[;)]", card.doc)[1]


ACROSS = 3  # thumbnails beside each other


def models() -> str:
    """docs/models.md."""
    cells = []
    for name, card in recipes_available().items():
        if hasattr(card.recipe, "functions"):
            drawing = f"architecture/{name}.svg"
            cells.append(
                f'[<img src="{drawing}" height="260" alt="{name}">]({drawing})<br>[`{name}`](recipes.md#{name}), '
                f"{re.search('[0-9,]+ parameters', card.doc)[0]}, {place(card)}"
            )
    rows = [cells[i : i + ACROSS] for i in range(0, len(cells), ACROSS)]
    rows[-1] += [""] * (ACROSS - len(rows[-1]))
    lines = [
        "# The models, drawn",
        "",
        "Click on a drawing to open it in full. `make show GRAPHS=docs/architecture` draws them; `keraskit show NAME "
        "--graph FILE.svg` draws one, with a model's flags as you like them. Parameters are those of the default "
        "flags; the README's rows with `--alpha 0.25` have fewer.",
        "",
        f"|{'  |' * ACROSS}",
        f"|{' --- |' * ACROSS}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


PAGES = {
    "cli.md": command_line,
    "recipes.md": recipes,
    "models.md": models,
    "document-map.md": lambda: document_map("en"),
    "document-map.zh-CN.md": lambda: document_map("zh"),
}

if __name__ == "__main__":
    for name, write in PAGES.items():
        (DOCS / name).write_text(write(), "utf-8")
