"""Run the tests with the lowest and with the newest versions that pyproject.toml allows, and write docs/versions.md.

    python benchmarks/versions.py [lowest] [newest]

uv resolves both, each into an environment of its own; whatever pytest is given after `--` narrows the tests.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE, RECORD = ROOT / "docs" / "versions.md", ROOT / "docs" / "versions.json"
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}


def tried(resolution: str, tests: list[str]) -> dict[str, Any]:
    """Install, run the tests, and return the versions and pytest's last line."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    with tempfile.TemporaryDirectory() as place:
        python = f"{place}/bin/python"
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, place], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", python, "--resolution", RESOLUTIONS[resolution]]
        subprocess.run([*install, "--editable", f"{ROOT}[dev]"], check=True)
        listed = subprocess.run(
            [uv, "pip", "list", "--python", python, "--format", "json"], check=True, capture_output=True
        )
        versions = {each["name"]: each["version"] for each in json.loads(listed.stdout)}
        done = subprocess.run([python, "-m", "pytest", *tests], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        others = subprocess.run([python, ROOT / "benchmarks" / "backends.py"])
    print(done.stdout[-3_000:])
    return {
        "versions": versions,
        "result": done.stdout.strip().rpartition("\n")[2].strip("= "),
        "code": done.returncode or others.returncode,
    }


def page(record: dict[str, Any]) -> str:
    """The table of docs/versions.md."""
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.match(r"[\w-]+", each)[0] for each in needed]
    lines = [
        "# Versions that the tests were run with",
        "",
        "`make versions` installs the lowest and the newest versions that pyproject.toml allows, runs all tests with "
        "each, and writes this page. CI runs those of constraints.txt.",
        "",
        f"| package | {' | '.join(record)} |",
        "| --- |" + " --- |" * len(record),
        *(f"| {name} | {' | '.join(each['versions'][name] for each in record.values())} |" for name in names),
        f"| tests | {' | '.join(each['result'] for each in record.values())} |",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Try what is asked for, and keep the record of the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("resolutions", nargs="*", default=list(RESOLUTIONS))
    asked, tests = parser.parse_known_args()
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for resolution in asked.resolutions:
        record[resolution] = tried(resolution, tests)
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    PAGE.write_text(page(record))
    sys.exit(max(each["code"] for each in record.values()))


if __name__ == "__main__":
    main()
