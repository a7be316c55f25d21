"""Explain an error in the user's own code: file, line, source line, message, and a hint if one is certain."""

import builtins
import inspect
import linecache
import os
import re
import sys
import sysconfig
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

import keraskit
from keraskit.errors import UserError, did_you_mean, sentence, short
from keraskit.registry import find_card

LIBRARIES = (f"{Path(keraskit.__file__).parent}{os.sep}", sysconfig.get_paths()["stdlib"])
GRAPH = re.compile(r'File "(.+?)", line (\d+), in (?!<module>)')  # where TensorFlow's operation was made
HINTS = {
    r"(recognized|argument|attribute).*'lr'": "It is called learning_rate since Keras 2.3.",
    r"must end in `\.(weights\.h5|keras)`": "Keras 3 saves whole models as .keras, and weights as .weights.h5.",
}


def explain(error: BaseException) -> list[str]:
    """Return the lines to print for an error in the user's own code, or in a call from it; empty for others."""
    refused = isinstance(error, UserError)
    raised = error.__cause__ or error if refused else error
    message = str(error) if refused else f"{type(raised).__name__}: {sentence(raised)}"
    if isinstance(raised, SyntaxError) and raised.lineno and raised.filename and Path(raised.filename).is_file():
        file, line, suggestion = raised.filename, raised.lineno, ""
    elif places := _places(raised, refused or isinstance(error, OSError)):
        file, line, frame = places[-1]
        suggestion = _meant(raised, frame) if frame else ""
    else:  # TensorFlow names an operation that fails
        node = re.search(r"Detected at node (\S+)", str(raised))
        return [f"{node[1]}: {message}"] if node else []
    if isinstance(error, SystemExit):
        message = "SystemExit: the file ends the program."
    hints = [suggestion, *(hint for pattern, hint in HINTS.items() if re.search(pattern, message))]
    source = linecache.getline(file, line).strip()
    return [f"{short(Path(file))}, line {line}: {source}", message, *[hint for hint in hints if hint][:1]]


def _places(error: BaseException, given: bool) -> list[tuple[str, int, FrameType | None]]:
    """Return file, line and frame of each call outside the libraries, and of our recipes if a flag or file is `given`.

    A program's own frame is left out: it is where it calls keraskit. Those of a graph have no frame.
    """
    places: list[Any] = [(file, int(line), None) for file, line in GRAPH.findall(str(error))]
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name != "<module>" or frame.f_globals.get("__name__") != "__main__":
            places.append((frame.f_code.co_filename, line, frame))
    libraries = LIBRARIES + ((str(find_card("mlp").source.parent),) if given else ())
    own = [each for each in places if not each[0].startswith(libraries) and "site-packages" not in each[0]]
    return [each for each in own if Path(each[0]).is_file()]


def _meant(error: BaseException, frame: FrameType) -> str:
    """Suggest a name for one that was not found, from the nearest scope first; empty if none is similar."""
    match error:
        case NameError():
            scopes = [[*frame.f_locals], [*frame.f_globals], dir(builtins)]
        case AttributeError():
            scopes = [dir(error.obj)]
        case ImportError() if found := re.match(r"cannot import name '(\w+)'", str(error)):
            return did_you_mean(found[1], dir(sys.modules.get(error.name or "")))
        case TypeError() if found := re.match(r"(Recipe|from_arrays)\b.* keyword argument '(\w+)'", str(error)):
            return did_you_mean(found[2], inspect.signature(getattr(keraskit, found[1])).parameters, 0.5)
        case _:
            return ""
    return next(filter(None, (did_you_mean(error.name or "", names, 0.7) for names in scopes)), "")
