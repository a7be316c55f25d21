"""Names and texts made to do harm: markup, escapes of terminals, formulas of spreadsheets and of TeX."""

import csv
import io
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from conftest import command
from hostile import NASTY

from keraskit.errors import printable
from keraskit.runs import pictures, plots, report
from keraskit.runs.folder import RunFolder
from keraskit.runs.listing import Row, Run
from keraskit.tools import compare


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.scripts = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, *sorted(name for name, _ in attributes)))
        self.scripts += [""] if tag == "script" else []

    def handle_data(self, data):
        self.text += data
        if self.lasttag == "script":
            self.scripts[-1] += data


def infected(value):
    if isinstance(value, dict):
        return {key: infected(each) for key, each in value.items()}
    return [infected(each) for each in value] if isinstance(value, list) else NASTY if isinstance(value, str) else value


def test_a_report_has_the_same_tags_whatever_the_texts_say(run):
    report.write_report(run)
    plain = Page((run.path / "report.html").read_text())
    facts = run.read_json("run.json")
    run.write_json("run.json", {**infected(facts), "test": {"accuracy": 0.9, NASTY: 1.0}, "timings": facts["timings"]})
    run.write_text("summary.txt", NASTY)
    with np.load(run.path / "pictures.npz") as file:
        known = {name: np.full(a.shape, NASTY) if name.endswith("captions") else a for name, a in file.items()}
    np.savez(run.path / "pictures.npz", **known)
    rows = run.read_history()
    run.write_history([row | {NASTY: 1.0} for row in rows])
    report.write_report(run)
    nasty = Page((run.path / "report.html").read_text())
    assert set(nasty.tags) == set(plain.tags) and "<script>alert('x')</script>" in nasty.text
    assert nasty.scripts == plain.scripts == []
    assert nasty.text.count("<script>alert('x')</script>") > 40  # in tables and captions alike


def test_a_terminal_is_shown_no_escape(run, here):
    run.update_manifest(recipe=NASTY, data={"name": NASTY + ":cat:", "used": {}})
    shutil.copytree(run.path, "other")
    run.path.rename("run")
    code, out, err = command("compare", "run", "other", "--output", "\x1b[31m\udcff.png")
    assert (code, err) == (0, "")
    assert all(c.isprintable() or c == "\n" for c in out) and "\\x1b[31m\\udcff.png" in out and ":cat:" in out
    code, _, err = command("predict", "run", "\x1b[31m\n\udcff.jpg")
    assert code == 2 and err.count("\n") == 1 and "\\x1b[31m" in err


def test_pictures_are_drawn_of_any_names(tmp_path):
    names = [NASTY, "$\\bad{$", "$", "雪 é", "\udcff", "", "x" * 500, "a\nb"]
    plots.save(plots.confusion(np.eye(8, dtype=int), names), tmp_path / "a.png")
    plots.save(plots.sheet(plots.Sheet(np.zeros((8, 5, 5), np.uint8), names)), tmp_path / "b.png")
    rows = [{"$\\bad{$": 1.0, "val_$\\bad{$": 1.0}]
    compare.draw([Row(name, [Run(RunFolder(tmp_path), {}, rows)]) for name in names], tmp_path / "c.png")
    plots.save(plots.curves([{"epoch": 1, "loss": 1.0, "val_loss": 1.0, "$\\bad{$": 1.0}], 1), tmp_path / "d.png")


def test_a_table_holds_no_formula_and_its_numbers_stay_numbers():
    evil = ("=1", "+1", "-1", "@f", "\t=1", "\r=1", " =1", "＝1", "-rf", "\n=1")
    rows = [pictures.Prediction(Path(name), name, [(name, 0.5)], name, name) for name in evil]
    cells = list(csv.reader(io.StringIO(pictures.rows_as_csv(rows))))
    assert len(cells) == 1 + len(evil)
    for row in cells[1:]:
        assert float(row.pop(5)) == 0.5
        assert all(not cell.lstrip().startswith(("=", "+", "-", "@", "＝")) and printable(cell) == cell for cell in row)
    assert json.loads(pictures.rows_as_json(rows))[0]["best"][0] == {"class": "=1", "probability": 0.5}
