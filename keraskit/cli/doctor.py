"""`keraskit doctor`: looks at the machine and says what to do about what is missing."""

import shutil

from keraskit import system
from keraskit.datasets import mnist
from keraskit.models import graph
from keraskit.training import hardware


def examine() -> None:
    """Print one line per thing that matters to a run, and below it what to do where it is missing."""
    for name, version in system.versions().items():
        _line(name, version)
    here = hardware.describe()
    _line("cpu", f"{here['cpu']}, {here['cores']} cores")
    fast = here["bfloat16"]
    _line("bfloat16", fast or "no", "" if fast else "Convolutions run in float32; nothing is wrong.")
    advice = "For an NVIDIA GPU: its driver, and `pip install 'keraskit[gpu]'`."
    _line("gpu", ", ".join(here["gpus"]) or "none", "" if here["gpus"] else advice)
    program = graph.layout_program()
    _line("graph layout", program or "none", "" if program else "`pip install graphviz-pure`.")
    found = next(((why, path) for why, path in mnist.search_path() if system.is_file(path)), None)
    _line("mnist", f"{found[1]} ({found[0]})" if found else "not here", "" if found else "The first run downloads it.")
    free = shutil.disk_usage(".").free / 2**30
    _line("free disk", f"{free:.1f} GiB here", "" if free > 1 else "Runs may not fit: --output-dir.")


def _line(name: str, state: str, advice: str = "") -> None:
    print(f"{name:14} {state}" + (f"\n{'':14}   -> {advice}" if advice else ""))
