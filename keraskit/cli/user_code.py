"""Explain an error in the user's own code: file, line, source line, message, and a hint if one is certain."""

import builtins
import linecache
import os
import re
import sysconfig
import traceback
from pathlib import Path
from types import FrameType

import keraskit
from keraskit.errors import UserError, did_you_mean, sentence
from keraskit.registry import find_card

LIBRARIES = (str(Path(keraskit.__file__).parent), sysconfig.get_paths()["stdlib"])
HINTS = {
    r"'lr'": "It is called learning_rate since Keras 2.3.",
    r"must end in `\.(weights\.h5|keras)`": "Keras 3 saves whole models as .keras, and weights as .weights.h5.",
}


def explain(error: BaseException) -> list[str]:
    """Return the lines to print for an error in the user's own code, or in a call from it; empty for others."""
    refused = isinstance(error, UserError)
    given = refused or isinstance(error, OSError)  # in one of our recipes, a flag or a file is wrong
    raised = error.__cause__ or error if refused else error
    if isinstance(raised, SyntaxError) and raised.filename and raised.lineno:
        place, suggestion = (raised.filename, raised.lineno), ""
    elif found := _last_frame(raised, LIBRARIES + ((str(find_card("mlp").source.parent),) if given else ())):
        frame, line = found
        place, suggestion = (frame.f_code.co_filename, line), _meant(raised, frame)
    else:
        return []
    message = str(error) if refused else f"{type(raised).__name__}: {useful(raised)}"
    if isinstance(error, SystemExit):
        message = "SystemExit: the file ends the program."
    hints = [suggestion, *(hint for pattern, hint in HINTS.items() if re.search(pattern, message))]
    file = os.path.relpath(place[0])
    shown = place[0] if file.startswith("..") else file
    source = linecache.getline(*place).strip()
    return [f"{shown}, line {place[1]}: {source}", message, *[hint for hint in hints if hint][:1]]


def useful(error: BaseException) -> str:
    """Extract the cause from a long message of Keras or TensorFlow."""
    text = re.sub(r"\{\{.*?\}\} ?|\[Op:.*?\]|\x1b\[\d*m", "", str(error).partition("\n\t [[{{node")[0]).strip()
    text = text.rpartition("\n")[2] if text.startswith("Graph execution error") else text.rpartition(".call().\n")[2]
    return sentence(" ".join(text.partition("\n\nArguments received")[0].split()))


def _last_frame(error: BaseException, libraries: tuple[str, ...]) -> tuple[FrameType, int] | None:
    """Return the traceback's last frame outside `libraries`, with its line number; None if there is none."""
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        program = frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__main__"
        if not program and Path(file).is_file() and not file.startswith(libraries) and "site-packages" not in file:
            found = frame, line  # a program's own frame is where it calls keraskit
    return found


def _meant(error: BaseException, frame: FrameType) -> str:
    """Suggest a name for one that was not found, from the nearest scope first; empty if none is similar."""
    match error:
        case NameError():
            scopes = [[*frame.f_locals], [*frame.f_globals], dir(builtins)]
        case AttributeError():
            scopes = [dir(error.obj)]
        case _:
            return ""
    return next(filter(None, (did_you_mean(error.name or "", names) for names in scopes)), "")
