"""Run folders that are fuzzed: what is done to which file, and who reads it then."""

import io
import json
import os
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import laws
import numpy as np
from hypothesis import strategies as st
from made import VALUE

from keraskit.registry import find_card
from keraskit.results import report
from keraskit.results.run_folder import RunFolder

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import table

# Run folders

FILES = (
    *("run.json", "history.csv", "model.keras", "summary.txt", "metrics.json", "curves.png", "architecture.svg"),
    *("predictions.npz", "pictures.npz", "statistics.npz", "checkpoint.npz", "trained.npz"),
)
READERS = ("compare", "report", "predict", "results", "resume", "runs", "explain", "demo")


@st.composite
def damage(draw):
    """What is done to which file of a run, and who reads it then."""
    file = draw(st.sampled_from(FILES))
    what = draw(
        st.sampled_from(
            [
                *("missing", "cut", "swapped", "empty", "noise", "folder", "link", "pipe", "device", "vast"),
                *("changed", "value"),
            ]
        )
    )
    if what == "value":
        file = draw(st.sampled_from(("run.json", "run.json", "history.csv", "checkpoint.npz")))
    readers = {"model.keras": ("predict", "explain", "demo"), "checkpoint.npz": ("resume",)}.get(file, READERS)
    where = draw(st.lists(st.integers(0, 30), min_size=1, max_size=4))
    return file, what, where, draw(VALUE), draw(st.binary(max_size=40)), draw(st.sampled_from(readers))


def put_value(tree, where, value):
    """Replace what lies at a place in JSON, found by number, or take it out."""
    for i, step in enumerate(where):
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = keys[step % len(keys)]
        if i == len(where) - 1 or not isinstance(tree[key], dict | list):
            if value == {"a": {}}:
                del tree[key]
            else:
                tree[key] = value
            return
        tree = tree[key]


def harm(folder, file, what, where, value, noise):
    """Do it."""
    path = folder / file
    data = path.read_bytes() if path.is_file() else b""
    path.unlink(missing_ok=True)
    others = {
        "cut": data[: len(data) * where[0] // 31],
        "noise": noise,
        "empty": b"",
        "swapped": (folder / "summary.txt").read_bytes() if file != "summary.txt" else b"{}",
    }
    if what in others:
        path.write_bytes(others[what])
    elif what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to("/etc/passwd")
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "vast":  # it claims a terabyte, and takes no room
        path.touch()
        os.truncate(path, 10**12)
    elif what == "changed":
        changed_data = bytearray(data)
        for place in where:
            if changed_data:
                changed_data[(place * 997) % len(changed_data)] ^= 1 << place % 8
        path.write_bytes(changed_data)
    elif what == "value" and file == "run.json":
        tree = json.loads(data)
        put_value(tree, where, value)
        path.write_bytes(
            json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogatepass" if where[0] % 2 else "replace")
        )
    elif what == "value" and file == "checkpoint.npz":
        with np.load(io.BytesIO(data)) as arrays:
            known = {name: arrays[name] for name in arrays.files}
        tree = json.loads(str(known["position"]))
        put_value(tree, where, value)
        known["position"] = np.array(json.dumps(tree, ensure_ascii=True))
        np.savez(path, **known)
    elif what == "value":
        lines = [line.split(",") for line in data.decode().splitlines()]
        line = lines[where[0] % len(lines)]
        line[where[-1] % len(line)] = str(value)[:2_000]
        path.write_bytes("\n".join(map(",".join, lines)).encode("utf-8", "replace"))


class Tags(HTMLParser):
    """The tags of a page, and where its pictures and links lead."""

    def __init__(self, page):
        super().__init__()
        self.names, self.leads, self.others = set(), [], set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        """Note it."""
        self.names.add(tag)
        for name, value in attributes:
            (self.leads.append(value[:11]) if name in {"src", "href"} else self.others.add(name))


PAGE = Tags((Path(report.__file__).parent / "report.html.jinja").read_text())


def check_run(case, box):
    """Whoever reads a damaged run gives a clean result or one line."""
    *done, reader = case
    bad = box.root / "bad"
    shutil.rmtree(bad, ignore_errors=True)
    shutil.copytree(box.root / "run", bad)
    if reader == "resume":
        RunFolder(bad).update_manifest(status="interrupted")
    harm(bad, *done)
    if reader == "compare":
        laws.command(["compare", "bad", "other", "--output", "curves.png"])
    elif reader == "predict":
        laws.command(["predict", "bad", "digit.png", "--csv", "guesses.csv"])
    elif reader == "resume":
        laws.command(["resume", "bad"])
    elif reader == "runs":
        laws.command(["runs", "bad", "--html"])
    elif reader == "explain":
        laws.command(["explain", "bad", "digit.png"])
    elif reader == "demo":
        laws.command(["demo", "bad"])
    elif reader == "results":
        card = find_card("mlp")
        run = laws.reads(lambda: table.run(RunFolder(bad), card))
        if run is not None:
            RunFolder(box.root).write_json("results.json", {"mlp": table.entry(run, "0")})
            entries = laws.reads(lambda: table.read(box.root / "results.json"))
            if entries is not None:
                table.markdown(entries)
    else:
        (bad / "report.html").unlink(missing_ok=True)
        laws.reads(lambda: report.write_report(RunFolder(bad)))
        if (bad / "report.html").exists():
            page = Tags((bad / "report.html").read_text(encoding="utf-8"))
            assert page.names <= PAGE.names | {"img", "p", "figure"}, page.names
            assert all(lead.startswith("data:image/") for lead in page.leads), page.leads
            assert page.others <= PAGE.others | {"alt"}, page.others
            text = (bad / "report.html").read_text(encoding="utf-8")
            assert "root:" not in text and text.count("<script") == 1
