"""What a training step spends its time on, by kind of operation, as TensorFlow's profiler sees it.

    python benchmarks/anatomy.py [RECIPE ...] [--json docs/anatomy.json]

A step is keraskit's default, as benchmarks/speed.py times it. An operation's time is that of the thread that runs it,
whether others help or not; operations that run side by side count one by one, so shares are of their sum.
"""

import collections
import json
import re
import tempfile
from pathlib import Path

import keras
import speed  # starts TensorFlow
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from keraskit.training import hardware

RECIPES = ("mlp", "cnn", "shared_input", "multi_input", "lstm", "shared_features", "multi_output")
AROUND = re.compile(r"while|call|conditional|Xla|_Xla|\w*PartitionedCall|While|If|Iterator|_Send|_Recv|NoOp")
KINDS = {  # the first that fits an operation's name
    "products": r"MatMul|dot|gemm",
    "convolutions": r"Conv",
    "pooling": r"Pool",
    "steps read and written": r"dynamic|slice|concat|Concat|Slice|Split|TensorList",
    "sums of gradients": r"add$|AddN",
    "copies and casts": r"Cast|copy|transpose|Transpose|broadcast|convert|Reorder",
    "normalisation, activations and losses": r"fusion|Relu|BatchNorm|Softmax|[Tt]anh|Sigmoid|[Ee]xp|[Bb]ias|Dropout",
}
SHOWN = 0.03  # the least share that the table names


def kind(name: str) -> str:
    """What sort of operation a profiled name is of: TensorFlow's `path/of/layer:Type`, or XLA's `name.number`."""
    path, _, of_type = name.rpartition(":")
    if re.search(r"/(adam|rmsprop|sgd)\w*/", path):
        return "optimizer"
    plain = re.sub(r"(_\d+)?(\.\d+)?$", "", of_type)
    return next((words for words, known in KINDS.items() if re.search(known, plain)), "others")


def operations(trace: Path) -> collections.Counter:
    """Seconds of each kind in a trace, of the operations alone and not of what runs them."""
    space = xplane_pb2.XSpace()
    space.ParseFromString(trace.read_bytes())
    found: collections.Counter = collections.Counter()
    for plane in space.planes:
        stats = {key: each.name for key, each in plane.stat_metadata.items()}
        names = {key: each.name for key, each in plane.event_metadata.items()}
        for event in (event for line in plane.lines for event in line.events):
            name = names[event.metadata_id]
            compiled = any(stats[stat.metadata_id] == "hlo_op" for stat in event.stats)
            if (compiled or re.fullmatch(r"[^: ]+:_?[A-Z]\w+", name)) and not AROUND.match(name.rpartition(":")[2]):
                found[kind(name)] += event.duration_ps / 1e12
    return found


def anatomy(name: str) -> dict:
    """A recipe's step in seconds, and the share of each kind of operation."""
    _, setup = speed.set_up(name, Path())
    timed = speed.keraskits(setup)
    timed.measure()
    with tempfile.TemporaryDirectory() as place:
        with tf.profiler.experimental.Profile(place):
            timed.run(1, min(timed.steps, 20))
        (trace,) = Path(place).rglob("*.xplane.pb")
        seconds = operations(trace)
    total = sum(seconds.values())
    shares = {words: value / total for words, value in seconds.most_common()}
    return {"step": timed.step, "batch": setup.settings.batch_size, "shares": shares}


def main() -> None:
    """Measure, print, and record."""
    asked = speed.command_line(__doc__, RECIPES).parse_args()
    found = {}
    for name in asked.recipes:
        found[name] = row = anatomy(name)
        keras.backend.clear_session()
        shares = ", ".join(f"{words} {share:.0%}" for words, share in row["shares"].items() if share >= SHOWN)
        print(f"{name:16} {row['step'] * 1e3:7.2f} ms: {shares}", flush=True)
    if asked.json:
        record = {"recipes": found, "shown": SHOWN, "hardware": hardware.describe()}
        asked.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
