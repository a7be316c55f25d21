"""The pages of `runs --html` and `compare --html`: every run by name, with a link to its report, and text as text."""

import re
import shutil
from urllib.parse import unquote

from hostile import command

SHOWN = ["&lt;b&gt;grace&lt;/b&gt;", "ada", "猫 &amp; co"]


def test_pages_of_a_class_name_every_student_and_link_every_report(tiny_run, tmp_path, monkeypatch, capsys):
    students = ("ada", "<b>grace</b>", "猫 & co")
    for student in students:
        shutil.copytree(tiny_run.folder, tmp_path / "handins" / student / "mlp" / tiny_run.folder.name)
    monkeypatch.chdir(tmp_path)
    for words, page, title in (
        (["runs", "handins", "--html"], tmp_path / "handins" / "index.html", "3 runs in handins"),
        (["compare", "handins", "--html", "class.html"], tmp_path / "class.html", "Compared runs"),
    ):
        assert command(words, capsys)[0] == 0
        text = page.read_text("utf-8")
        names = re.findall(r'<th scope="row"><a href="([^"]+)">([^<]+)</a>', text)
        assert len(names) == 3 and all((page.parent / unquote(link)).is_file() for link, _ in names)
        assert all(any(name.endswith(student) for _, name in names) for student in SHOWN)
        assert title in text
        assert ("data:image/svg+xml" in text) == (words[0] == "compare")
    code, err = command(["compare", "handins", "--html", "class.csv"], capsys)
    assert code == 2 and "class.csv" in err
    (tmp_path / "mine.html").write_text("my thesis")
    assert command(["compare", "handins", "--html", "mine.html"], capsys)[0] == 2
    assert (tmp_path / "mine.html").read_text() == "my thesis"
