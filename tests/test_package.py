"""The wheel and the sdist: built here, unpacked elsewhere, and used from there without the checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from conftest import ROOT

CODE = """
import pathlib, sys, keraskit, keraskit.recipes
assert str(pathlib.Path(keraskit.__file__)).startswith(sys.argv[1])
assert 'tensorflow' not in sys.modules
from keraskit.datasets import digits
assert all('repository' not in why for why, _ in digits.search_path())
from keraskit.datasets.images.sources import SHIPPED
assert str(SHIPPED).startswith(sys.argv[1])
assert {path.name for path in SHIPPED.iterdir()} == {'chelsea.png', 'coffee.png', 'LICENSE.txt'}
from keraskit.cli.app import command_line
for words in (["list"], ["run", "mlp", "--quick", "--data-dir", sys.argv[2]]):
    try: command_line(words)
    except SystemExit as end: assert not end.code, words
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The built sdist and wheel. Built without isolation, so without network."""
    out, source = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("source") / "keraskit"
    for name in ("keraskit", "recipes", "data/photos"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    line = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source]
    subprocess.run(line, check=True, capture_output=True, timeout=300)
    return out


def test_wheel_works_from_any_folder_without_a_checkout_and_runs_without_a_tool(dist, tmp_path):
    """All tools are deleted at once: none needs another, so who deletes one loses that one alone."""
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        assert any(name.endswith("/recipes/cnn.py") for name in file.getnames())
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        assert {"imagenet_classes.txt", "imagenet_classes.LICENSE"} <= {name.rpartition("/")[2] for name in names}
        assert "keraskit/tools/demo/demo.html.jinja" in names and "keraskit/tools/demo/demo_network.js" in names
        assert not any(name.endswith(".npz") for name in names)
        file.extractall(tmp_path / "site")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "PYTHONSAFEPATH": "1"}
    shutil.rmtree(tmp_path / "site" / "keraskit" / "tools")
    line = [sys.executable, "-c", CODE, tmp_path / "site", ROOT / "data"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (report,) = tmp_path.glob("runs/mlp/*/report.html")
    assert report.stat().st_size > 50_000
