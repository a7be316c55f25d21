"""Writes docs/performance.md from what the benchmarks recorded, a section for each; `pages.py` calls it."""

import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
GUIDES = "Keras's guides"


def machine(hardware: dict) -> str:
    """The hardware in words."""
    return f"{hardware['cores']} cores of {hardware['cpu']}, {', '.join(hardware['gpus']) or 'no GPU'}"


def rows(head: str, cells: Iterable[Iterable[object]]) -> list[str]:
    """A table as Markdown; a column whose head ends in > is set to the right."""
    names = head.split(" | ")
    rule = ["---:" if name.endswith(">") else "---" for name in names]
    lines = [[name.removesuffix(">") for name in names], rule, *cells]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]


def augmentation(record: dict) -> list[str]:
    """The augmentation benchmark as Markdown."""
    return [
        "## Augmentation",
        "",
        "`python benchmarks/augmentation.py --json docs/augmentation.json`: the tutorial's augmentation at 150x150x3, "
        f"all ways in turn in one run, medians, on {machine(record['hardware'])}.",
        "",
        "![Pictures a second](charts/augmentation.svg)",
        "",
        *rows("way | pictures/s>", ((name, f"{rate:,.0f}") for name, rate in record["pictures_per_second"].items())),
        "",
        *rows(
            "ZCA fit of MNIST's 60,000 digits | seconds>",
            ((name, f"{seconds:.2f}") for name, seconds in record["zca_seconds"].items()),
        ),
        "",
        *rows("keraskit | times as fast>", ((name, f"{ratio:.1f}") for name, ratio in record["ratios"].items())),
    ]


def recurrent(record: dict) -> list[str]:
    """The benchmark of the recurrent models as Markdown."""
    cells = (
        (name, f"{row['first']:.1f} s", f"{row['step'] * 1e3:.0f} ms", f"{row['epoch'] / 60:.1f} min")
        for name, row in record["variants"].items()
    )
    return [
        "## Recurrent models",
        "",
        "`python benchmarks/recurrent.py --json docs/recurrent.json`: one training step over 784 pixels, all in "
        f"turn in one run, medians, on {machine(record['hardware'])}; an epoch has 55,000 examples. Where XLA compiles "
        "micro-batches, LSTM layers take their steps back in blocks (`keraskit/training/acceleration.py`).",
        "",
        *rows("variant | first step, with compilation> | step> | epoch>", cells),
    ]


def permuted(record: dict) -> list[str]:
    """The run of permuted sequential MNIST as Markdown."""
    return [
        "## Permuted sequential MNIST",
        "",
        f"`{record['command']}`, seed {record['seed']}, reads each digit's 784 pixels in one random order: test "
        f"accuracy {record['test']['accuracy']:.3f} after {record['epochs']} epochs. The task is that of "
        "[Le, Jaitly and Hinton (2015)](https://arxiv.org/abs/1504.00941). Networks made for such long memories reach "
        "more, with orders of their own: 0.964 [Rotman and Wolf (2020)](https://arxiv.org/abs/2007.07324), 0.972 "
        "[Voelker et al. (2019)](https://www.paperswithcode.com/paper/legendre-memory-units-continuous-time).",
    ]


def results(record: dict) -> list[str]:
    """Validation accuracy by epoch of the recipes that were run in full, as Markdown."""
    cells = []
    for name, row in record.items():
        for metric, values in row["validation"].items():
            if not name.startswith("cats_dogs"):
                label = name if metric == "val_accuracy" else f"{name}, {metric[4:].replace('_', ' ')}"
                known = [f"{values[i]:.4f}" if i < len(values) else "" for i in (0, 1, 3)]
                best = f"{max(values):.4f} in {values.index(max(values)) + 1}"
                cells.append((label, row["seconds_per_epoch"], len(values), *known, best))
    return [
        "## Learning, epoch by epoch",
        "",
        "Validation accuracy of seed 0 in the README's table (docs/results.json has every epoch); those of cats "
        "and dogs have [a page of their own](cats_and_dogs.md).",
        "",
        "![Validation error by epoch](charts/learning.svg)",
        "",
        *rows("recipe | s/epoch> | epochs> | after 1> | after 2> | after 4> | best, in epoch>", cells),
    ]


def speed(record: dict) -> list[str]:
    """The benchmark of training steps as Markdown."""
    how = "`image_dataset_from_directory` and Random* layers in the pipeline"
    guides = [
        f"{row[f'{GUIDES} / keraskit']:.2f} times as long as keraskit for {name} ({row[GUIDES] * 1e3:.0f} ms a step)"
        for name, row in record["recipes"].items()
        if GUIDES in row
    ]
    cells = []
    for name, row in record["recipes"].items():
        document, hand = (
            [row.get(f"{ratio}{which}") for which in ("", ", fastest")]
            for ratio in ("document / keraskit", "by hand / keraskit")
        )
        cells.append(
            (
                *(name, row["batch"], f"{row['document'] * 1e3:.2f} ms", f"{row['keraskit'] * 1e3:.2f} ms"),
                *("" if each[0] is None else f"{each[0]:.2f} ({each[1]:.2f})" for each in (document, hand)),
                *(f"{row['precision']}, {row['xla']}", f"{row['share_of_peak']:.0%}"),
            )
        )
    return [
        "## A training step, against the tutorial's own way",
        "",
        "`python benchmarks/speed.py --json docs/speed.json`: numpy arrays into `fit` or ImageDataGenerator on a "
        "folder, float32, Keras's defaults ([code](../benchmarks/document.py)), against keraskit's default and "
        f"a loop by hand that makes the same choices; all in turn in one run, on {machine(record['hardware'])}. "
        "A ratio is the median over the rounds; in brackets, as this machine's speed varies, that of the fastest "
        "rounds. The last column is the share of a large matrix product's speed. cats_dogs_features and "
        "cats_dogs_finetune are beyond the tutorial, and timed against what its other code would make of them, at "
        "`--alpha 0.25 --size 160`; vgg16 at 64x64 with a quarter of its filters; pictures are drawn.",
        "",
        "![Times as fast as the tutorial's way](charts/speed.svg)",
        "",
        *rows(
            "recipe | batch> | tutorial> | keraskit> | times as fast> | by hand takes> | precision, XLA | of peak>",
            cells,
        ),
        *([""] if guides else []),
        *(f"What Keras's guides do with photographs today, {how}, takes {each}." for each in guides),
    ]


def pytorch(record: dict) -> list[str]:
    """The benchmark against PyTorch as Markdown."""
    cells = [
        (
            *(name, row["batch"], f"{row['keraskit'] * 1e3:.2f} ms", f"{row['PyTorch'] * 1e3:.2f} ms"),
            *(f"{row['PyTorch at its fastest'] * 1e3:.2f} ms", row["fastest"]),
            *(f"{row[f'{way} / keraskit']:.2f}" for way in ("PyTorch", "PyTorch at its fastest")),
        )
        for name, row in record["recipes"].items()
    ]
    return [
        "## The same networks in PyTorch",
        "",
        f"`python benchmarks/pytorch.py --json docs/pytorch.json`, PyTorch {record['torch']}: a training step by its "
        "defaults (eager, float32), and in the fastest of eager and `torch.compile`, float32 and bfloat16's autocast, "
        "convolutions in `channels_last`; in turn with keraskit's default, medians, "
        f"on {machine(record['hardware'])}. PyTorch's batches are ready in memory, keraskit makes its own. "
        "The last columns are how many times as long PyTorch takes.",
        "",
        "![Times as long as keraskit](charts/pytorch.svg)",
        "",
        *rows("recipe | batch> | keraskit> | PyTorch> | at its fastest> | which is | takes> | at its fastest>", cells),
    ]


def onednn(record: dict) -> list[str]:
    """The benchmark of oneDNN on a CPU where TensorFlow leaves it off, as Markdown."""
    ways = ("document", "keraskit without oneDNN", "keraskit")
    cells = [
        (
            *(name, *(f"{row[way] * 1e3:.1f} ms" for way in ways)),
            *(f"{row[f'{way} / keraskit']:.2f}" for way in ways[:2]),
        )
        for name, row in record["recipes"].items()
    ]
    return [
        "## On a CPU without AVX512_VNNI",
        "",
        "`python benchmarks/onednn.py --json docs/onednn.json`: a training step where TensorFlow leaves oneDNN off. "
        "keraskit turns it on (`TF_ENABLE_ONEDNN_OPTS=0` leaves it off). All in turn, each in a process of its own, "
        f"medians of {record['rounds']}, on {machine(record['hardware'])}.",
        "",
        *rows(
            "recipe | the tutorial's way> | keraskit without oneDNN> | keraskit> | times as fast as the tutorial's> | "
            "as without oneDNN>",
            cells,
        ),
    ]


def sooner(record: dict) -> list[str]:
    """The benchmark of time to an accuracy as Markdown."""

    def cell(seconds: list[float | None] | None, limit: int) -> str:
        if seconds is None:
            return ""
        middle = statistics.median(each or math.inf for each in seconds)  # the slowest are stopped
        return f"{middle:.0f} s" if math.isfinite(middle) else f"over {limit} times"

    ways = ("document", "Keras's guides", "PyTorch at its fastest", "keraskit")
    cells = [
        (
            *(name, f"{row['wanted']}", str(len(row["seconds"]["keraskit"]))),
            *(cell(row["seconds"].get(way), row["limit"]) for way in ways),
            f"{row['hardware']['cpu']}, {row['hardware']['bfloat16'] or 'no bfloat16'}",
        )
        for name, row in record["recipes"].items()
    ]
    return [
        "## Sooner at the same accuracy",
        "",
        "`python benchmarks/sooner.py --json docs/sooner.json`: seconds from the start of training to the first epoch "
        "with this validation accuracy; the median over the seeds, on 2 cores, no GPU, TensorFlow's ways with oneDNN, "
        "PyTorch's not compiled, which takes longer than mlp trains; lstm and cats_dogs with the recipes' optimizers. "
        "Other ways are stopped after five times keraskit's seconds, which are measured first; for mlp and cnn all "
        "ways take turns, for the others keraskit's seeds were run some hours before.",
        "",
        "![Seconds to the accuracy](charts/sooner.svg)",
        "",
        *rows(
            "recipe | accuracy> | seeds> | the tutorial's way> | Keras's guides> | PyTorch at its fastest> | "
            "keraskit> | CPU",
            cells,
        ),
    ]


def gpu(record: dict) -> list[str]:
    """The benchmark of a GPU as Markdown."""
    cells = [
        (
            *(name, words, f"{row['step'] * 1e3:.2f} ms", f"{row['examples_per_second']:,.0f}"),
            "" if row["memory"] is None else f"{row['memory'] / 1e6:,.0f} MB",
        )
        for name, ways in record["recipes"].items()
        for words, row in ways.items()
    ]
    return [
        "## On a GPU",
        "",
        f"`python benchmarks/gpu.py --json docs/gpu.json`: a training step in every precision, with XLA and without "
        f"(recurrent layers then run on cuDNN), in turn, medians, on {record['device']} of "
        f"{machine(record['hardware'])}.",
        "",
        *rows("recipe | way | step> | examples/s> | memory>", cells),
    ]


def kill(record: dict) -> list[str]:
    """The runs that were killed as Markdown."""
    cells = (
        (
            *(name, row["runs"], row["kills"], row["most_kills_of_a_run"], row["equal"]),
            ", ".join(f"{place} {count}" for place, count in sorted(row["where"].items())),
        )
        for name, row in record["recipes"].items()
    )
    return [
        "## Killed runs",
        "",
        "`python benchmarks/kill.py --json docs/kill.json`: real processes of small models and data, killed by SIGKILL "
        f"and resumed until they finish, {record['kills']} times, on {machine(record['hardware'])}, with keraskit "
        f"{record['versions']['keraskit']}. Of {record['runs']} runs {record['equal']} ended with the weights, history "
        "and metrics of the run that was never killed, bit for bit.",
        "",
        *rows("recipe | runs> | kills> | most of one run> | equal> | killed at", cells),
    ]


def precision(record: dict) -> list[str]:
    """The benchmark of precision as Markdown."""
    cells = []
    for name, recipe in record["recipes"].items():
        row, run = recipe["summary"], next(iter(recipe["runs"].values()))
        error = "" if row["standard_error"] is None else f" ± {row['standard_error']:.2f}"
        cells.append(
            (
                *(f"{name}, {run['test_size']:,} test examples of {run['data']}", run["epochs"], row["seeds"]),
                *(f"{row['float32']:.4f}", f"{row['auto']:.4f}", f"{row['difference']:+.2f}{error}"),
                f"{row['same_weights_most']:.2f}",
            )
        )
    return [
        "## Precision and accuracy",
        "",
        "`python benchmarks/precision.py --json docs/precision.json`: the same seeds trained in float32 and as `auto` "
        f"chooses (bfloat16), on {machine(record['hardware'])}. Differences are in points of test accuracy, with their "
        "standard error over the seeds; the last column is the most that evaluating the same trained weights in "
        "bfloat16 changed.",
        "",
        *rows("recipe, data | epochs> | seeds> | float32> | auto> | difference> | same weights>", cells),
    ]


def startup(record: dict) -> list[str]:
    """The benchmark of start-up as Markdown."""
    place = "that has scikit-learn, too" if record["scikit_learn"] else "with keraskit alone"
    return [
        "## Start-up",
        "",
        f"`python benchmarks/startup.py --json docs/startup.json`: whole processes, all in turn, medians of "
        f"{record['rounds']}, in an environment {place}, on {machine(record['hardware'])}.",
        "",
        *rows("process | seconds>", ((name, f"{seconds:.2f}") for name, seconds in record["seconds"].items())),
        "",
        f"To the first step `keraskit run mlp` takes {record['ratio']:.2f} times as long as the bare script, in the "
        "median of the ratios within each round.",
    ]


def scaling(record: dict) -> list[str]:
    """The benchmark of several workers as Markdown."""
    one, two = record["images_per_second"].values()
    cells = (
        (
            *(f"{row['examples']:,}", f"{row['seconds']:.2f}"),
            *(f"{size / 1e6:,.0f} MB" for size in (row["bytes"], row["data_bytes"])),
        )
        for row in record["data"].values()
    )
    return [
        "## Several workers, more data",
        "",
        f"`python benchmarks/scaling.py --json docs/scaling.json`: cnn, batches of {record['batch']} in all, workers "
        f"pinned to one core each, on {machine(record['hardware'])}: {one:,.0f} images/s with one worker, {two:,.0f} "
        f"with two: {record['speedup']:.2f} times, an efficiency of {record['efficiency']:.0%}.",
        "",
        *rows("examples of mlp> | seconds an epoch> | peak memory> | of it the data>", cells),
    ]


def memory(record: dict) -> list[str]:
    """The benchmark of memory as Markdown."""
    cells = (
        (name, *(f"{row[way] / 1e6:,.0f} MB" for way in ("document", "keraskit")))
        for name, row in record["recipes"].items()
    )
    counts = [int(count) for count in record["files"]]
    first, last = (record["files"][str(count)]["bytes"] for count in (min(counts), max(counts)))
    each = (last - first) / (max(counts) - min(counts))
    files = (
        (f"{int(n):,}", f"{row['bytes'] / 1e6:,.0f} MB", f"{row['seconds']:.0f}") for n, row in record["files"].items()
    )
    when = "The peak" if record.get("mapped") else "Measured before that file was mapped; a peak now"
    return [
        "## Memory",
        "",
        f"`python benchmarks/memory.py --json docs/memory.json`: the peak of whole processes that have all of the data "
        f"and train {record['steps']} steps, on {machine(record['hardware'])}; TensorFlow alone takes some 500 MB. "
        "keraskit also evaluates, draws and writes its report. vgg16 is at 64x64 with a quarter of its filters.",
        "",
        *rows("recipe | the tutorial's way> | keraskit>", cells),
        "",
        f"Decoded pictures lie in a temporary file; in memory are a file's name, label and place in "
        f"the shuffled order: {each:,.0f} bytes a file. {when} "
        "counts its pages that the system kept in memory, and can take back.",
        "",
        *rows("files to learn from> | peak memory> | seconds, start to end>", files),
    ]


PARTS = (
    speed,
    onednn,
    sooner,
    memory,
    precision,
    startup,
    scaling,
    results,
    augmentation,
    pytorch,
    gpu,
    recurrent,
    permuted,
    kill,
)


def page() -> str:
    """docs/performance.md."""
    lines = ["# Measured", "", "This page is generated by `python benchmarks/pages.py`; edit the benchmarks instead."]
    for part in PARTS:
        if (recorded := DOCS / f"{part.__name__}.json").exists():
            lines += ["", *part(json.loads(recorded.read_text()))]
    return "\n".join(lines) + "\n"
