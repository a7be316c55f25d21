"""SECURITY.md: each promise names its tests, and they exist; and some rules of the source itself."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

SOURCES = [path for folder in ("keraskit", "recipes") for path in sorted((ROOT / folder).rglob("*.py"))]


def test_each_promise_names_tests():
    kept = (ROOT / "SECURITY.md").read_text().partition("## What is promised")[2].partition("\n## ")[0]
    promises = re.findall(r"^- (.+?)(?=^- |\Z)", kept, re.M | re.S)
    assert len(promises) >= 10 and all(re.search(r"`tests/[\w/]+\.py::\w+`", promise) for promise in promises)


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/reliability.md"])
def test_the_tests_that_a_page_names_exist(page):
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / page).read_text())
    assert len(named) >= 10
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text())
        assert not test or test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (file, test)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_shell_no_pickle_no_unpacking(path):
    for node in (each for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.Call)):
        name, arguments = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
        assert name not in {"os.system", "os.popen", "eval", "exec", "tempfile.mktemp"} and "pickle" not in name, name
        assert "shell" not in arguments and not name.endswith((".extractall", ".extract", "unpack_archive")), name
        assert arguments.get("allow_pickle", "False") == "False" and arguments.get("safe_mode", "True") == "True"
        if name.endswith(("models.load_model", "saving.load_model")):
            assert arguments["safe_mode"] == "True" and path.name == "weights.py"
        if name.endswith(".load_weights"):  # `load_file` checks the file first
            assert path.name == "applications.py"
        if name.endswith("np.load"):
            assert arguments["allow_pickle"] == "False" and path.name in {"array_files.py", "resume.py"}


def test_modules_lying_where_one_works_are_not_run(tmp_path):
    for name in ("numpy", "json", "keras", "tensorflow", "keraskit", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'a').write('{name}, ')")
    line = [Path(sys.executable).with_name("keraskit"), "show", "mlp"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    assert not (tmp_path / "mark").exists(), (tmp_path / "mark").read_text()
