"""Writes docs/performance.md, and the table in docs/cats_and_dogs.md, from what runs and benchmarks recorded.

python benchmarks/pages.py
"""

import json
from pathlib import Path

from keraskit.results import table

DOCS = Path(__file__).resolve().parents[1] / "docs"


def machine(hardware: dict) -> str:
    """The hardware in words."""
    return f"{hardware['cores']} cores of {hardware['cpu']}, {', '.join(hardware['gpus']) or 'no GPU'}"


def augmentation(record: dict) -> list[str]:
    """The augmentation benchmark as Markdown."""
    return [
        "## Augmentation",
        "",
        "`python benchmarks/augmentation.py --json docs/augmentation.json`: the seven transforms at 150x150x3, "
        f"all ways in turn in one run, medians, on {machine(record['hardware'])}.",
        "",
        "| way | pictures/s |",
        "| --- | ---: |",
        *(f"| {name} | {rate:,.0f} |" for name, rate in record["pictures_per_second"].items()),
        "",
        "| ZCA fit of MNIST's 60,000 digits | seconds |",
        "| --- | ---: |",
        *(f"| {name} | {seconds:.2f} |" for name, seconds in record["zca_seconds"].items()),
        "",
        "| keraskit | times as fast |",
        "| --- | ---: |",
        *(f"| {name} | {ratio:.1f} |" for name, ratio in record["ratios"].items()),
    ]


def recurrent(record: dict) -> list[str]:
    """The benchmark of the recurrent models as Markdown."""
    lines = [
        "## Recurrent models",
        "",
        "`python benchmarks/recurrent.py --json docs/recurrent.json`: one training step over 784 pixels, all in "
        f"turn in one run, medians, on {machine(record['hardware'])}; an epoch has 55,000 examples.",
        "",
        "| variant | first step, with compilation | step | epoch |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, row in record["variants"].items():
        lines.append(f"| {name} | {row['first']:.1f} s | {row['step'] * 1e3:.0f} ms | {row['epoch'] / 60:.1f} min |")
    return lines


def learning(record: dict) -> list[str]:
    """Validation accuracy by epoch of the recipes that were run in full, as Markdown."""
    lines = [
        "## Learning, epoch by epoch",
        "",
        "Validation accuracy in the runs of the README's table (docs/results.json); those of cats and dogs have "
        "[a page of their own](cats_and_dogs.md).",
        "",
    ]
    record = {name: row for name, row in record.items() if not name.startswith("cats_dogs")}
    most = max(len(values) for row in record.values() for values in row["validation"].values())
    lines.append(f"| recipe | s/epoch | {' | '.join(str(i + 1) for i in range(most))} |")
    lines.append(f"| --- | ---: |{' ---: |' * most}")
    for name, row in record.items():
        for metric, values in row["validation"].items():
            label = name if metric == "val_accuracy" else f"{name}, {metric[4:].replace('_', ' ')}"
            cells = [f"{value:.4f}" for value in values] + [""] * (most - len(values))
            lines.append(f"| {label} | {row['seconds_per_epoch']} | {' | '.join(cells)} |")
    return lines


def photographs(record: dict) -> list[str]:
    """The benchmark of photographs in files as Markdown."""
    plain, augmented, ratio, within = record["step"].values()
    lines = [
        "## Photographs in files",
        "",
        f"`python benchmarks/photographs.py --json docs/photographs.json`, on {machine(record['hardware'])}.",
        "",
        f"- Checking 2,000 photographs for the first time: {record['checking_2000_files']:.1f} s.",
        f"- A training step of `cats_dogs`, batch 32, the fastest of several rounds: {plain * 1e3:.0f} ms as it is, "
        f"{augmented * 1e3:.0f} ms with the seven transforms, {ratio:.2f} times; within each round, in the median, "
        f"{within:.2f} times.",
        "",
        "| small files | peak memory of a run with `--cache off` | seconds, one epoch, start to end |",
        "| ---: | ---: | ---: |",
    ]
    for count, row in record["memory"].items():
        lines.append(f"| {int(count):,} | {row['bytes'] / 1e6:,.0f} MB | {row['seconds']:.0f} |")
    return lines


def classify(record: dict) -> list[str]:
    """The benchmark of the pretrained networks as Markdown."""
    return [
        "## Many photographs through a network",
        "",
        f"`python benchmarks/classify.py --json docs/classify.json`: {record['photographs']:,} photographs through "
        f"MobileNet, all ways in turn in one run, medians, on {machine(record['hardware'])}.",
        "",
        "| way | seconds |",
        "| --- | ---: |",
        *(f"| {name} | {seconds:.1f} |" for name, seconds in record["seconds"].items()),
        "",
        *(f"- {name}: {ratio:.2f} times." for name, ratio in record["ratios"].items()),
    ]


def speed(record: dict) -> list[str]:
    """The benchmark of training steps as Markdown."""
    lines = [
        "## A training step, against the document's own way",
        "",
        "`python benchmarks/speed.py --json docs/speed.json`: numpy arrays into `fit` or ImageDataGenerator on a "
        "folder, float32, Keras's defaults ([code](../benchmarks/document.py)), against keraskit's default and "
        f"a loop by hand that makes the same choices; all in turn in one run, on {machine(record['hardware'])}. "
        "Ratios are the median of those within each round and, as this machine's speed jumps, that of the fastest "
        "rounds. The last column is the share of a large matrix product's speed.",
        "",
        "| recipe | batch | document | keraskit | times as fast | of the fastest | by hand takes | of the fastest | "
        "precision, XLA | of peak |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    for name, row in record["recipes"].items():
        hand = [row.get(f"by hand / keraskit{which}") for which in ("", ", fastest")]
        by_hand = " | ".join("" if value is None else f"{value:.2f}" for value in hand)
        lines.append(
            f"| {name} | {row['batch']} | {row['document'] * 1e3:.2f} ms | {row['keraskit'] * 1e3:.2f} ms | "
            f"{row['document / keraskit']:.2f} | {row['document / keraskit, fastest']:.2f} | {by_hand} | "
            f"{row['precision']}, {row['xla']} | "
            f"{row['share_of_peak']:.0%} |"
        )
    return lines


def fuzz(record: dict) -> list[str]:
    """What the fuzz found, as Markdown."""
    kinds = record["kinds"]
    total = sum(row["cases"] for row in kinds.values())
    failed = sum(row["failures"] for row in kinds.values())
    return [
        "## Hostile input",
        "",
        f"`python benchmarks/fuzz.py --json docs/fuzz.json`: {total:,} cases, seed {record['seed']}, {failed:,} "
        f"failures, on {machine(record['hardware'])}. A case fails when it ends in a traceback, takes more than 10 s, "
        "is refused without a reason, prints what a terminal would obey, or writes outside its folder. "
        "[SECURITY.md](../SECURITY.md) says what is promised.",
        "",
        "| input | cases | failures | seconds | the slowest |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {name} | {row['cases']:,} | {row['failures']:,} | {row['seconds']:.0f} | {row['slowest']:.2f} s |"
            for name, row in kinds.items()
        ),
    ]


def kill(record: dict) -> list[str]:
    """The runs that were killed as Markdown."""
    lines = [
        "## Killed runs",
        "",
        "`python benchmarks/kill.py --json docs/kill.json`: real processes, killed by SIGKILL and resumed until they "
        f"finish, {record['kills']} times, on {machine(record['hardware'])}. Of {record['runs']} runs "
        f"{record['equal']} ended with the weights, history and metrics of the run that was never killed, bit for bit.",
        "",
        "| recipe | runs | kills | most of one run | equal | killed at |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, row in record["recipes"].items():
        where = ", ".join(f"{place} {count}" for place, count in sorted(row["where"].items()))
        most = row["most_kills_of_a_run"]
        lines.append(f"| {name} | {row['runs']} | {row['kills']} | {most} | {row['equal']} | {where} |")
    return lines


def precision(record: dict) -> list[str]:
    """The benchmark of precision as Markdown."""
    lines = [
        "## Precision and accuracy",
        "",
        "`python benchmarks/precision.py --json docs/precision.json`: the same seeds trained in float32 and as `auto` "
        f"chooses (bfloat16), on {machine(record['hardware'])}. Differences are in points of test accuracy, with their "
        "standard error over the seeds; the last column is the most that evaluating the same trained weights in "
        "bfloat16 changed.",
        "",
        "| recipe, data | epochs | seeds | float32 | auto | difference | same weights |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, recipe in record["recipes"].items():
        row, run = recipe["summary"], next(iter(recipe["runs"].values()))
        error = "" if row["standard_error"] is None else f" ± {row['standard_error']:.2f}"
        lines.append(
            f"| {name}, {run['test_size']:,} of {run['data']} | {run['epochs']} | {row['seeds']} | "
            f"{row['float32']:.4f} | {row['auto']:.4f} | {row['difference']:+.2f}{error} | "
            f"{row['same_weights_most']:.2f} |"
        )
    return lines


def startup(record: dict) -> list[str]:
    """The benchmark of start-up as Markdown."""
    return [
        "## Start-up",
        "",
        f"`python benchmarks/startup.py --json docs/startup.json`: whole processes, all in turn, medians of "
        f"{record['rounds']}, on {machine(record['hardware'])}.",
        "",
        "| process | seconds |",
        "| --- | ---: |",
        *(f"| {name} | {seconds:.2f} |" for name, seconds in record["seconds"].items()),
        "",
        f"To the first step `keraskit run mlp` takes {record['ratio']:.2f} times as long as the bare script, in the "
        "median of the ratios within each round.",
    ]


def scaling(record: dict) -> list[str]:
    """The benchmark of several workers as Markdown."""
    one, two = record["images_per_second"].values()
    lines = [
        "## Several workers, more data",
        "",
        f"`python benchmarks/scaling.py --json docs/scaling.json`: cnn, batches of {record['batch']} in all, workers "
        f"pinned to one core each, on {machine(record['hardware'])}: {one:,.0f} images/s with one worker, {two:,.0f} "
        f"with two: {record['speedup']:.2f} times, an efficiency of {record['efficiency']:.0%}.",
        "",
        "| examples of mlp | seconds an epoch | peak memory | of it the data |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for row in record["data"].values():
        lines.append(
            f"| {row['examples']:,} | {row['seconds']:.2f} | {row['bytes'] / 1e6:,.0f} MB | "
            f"{row['data_bytes'] / 1e6:,.0f} MB |"
        )
    return lines


PARTS = {
    "speed.json": speed,
    "precision.json": precision,
    "startup.json": startup,
    "scaling.json": scaling,
    "results.json": learning,
    "augmentation.json": augmentation,
    "recurrent.json": recurrent,
    "photographs.json": photographs,
    "classify.json": classify,
    "fuzz.json": fuzz,
    "kill.json": kill,
}


def page() -> str:
    """docs/performance.md."""
    lines = ["# Measured", "", "This page is generated by `python benchmarks/pages.py`; edit the benchmarks instead."]
    for name, write in PARTS.items():
        if (DOCS / name).exists():
            lines += ["", *write(json.loads((DOCS / name).read_text()))]
    return "\n".join(lines) + "\n"


def ladder() -> str:
    """docs/cats_and_dogs.md with its table."""
    entries = table.read(DOCS / "results.json")
    steps = {name: row for name, row in entries.items() if name.startswith("cats_dogs")}
    return table.insert((DOCS / "cats_and_dogs.md").read_text(), steps, "../")


FORWARD = 30.94e9  # additions and multiplications of vgg16 for one picture of 224x224; training takes three times that
PARAMETERS = 138_357_544
PEAK, REACHED = 312e12, 0.4  # operations per second of a GPU in float16, and the share that training reaches
BATCH, WITHIN, BETWEEN = (
    64,
    240e9,
    25e9,
)  # pictures a GPU; bytes per second among 8 GPUs of a machine, and of its network
PICTURE, DECODED = 110e3, 1_000  # bytes of a JPEG; how many a core decodes in a second
IMAGENET = 1_281_167


def calculation() -> str:
    """How vgg16 on ImageNet would scale, as Markdown."""
    lines = [
        f"vgg16 at 224x224 takes {3 * FORWARD / 1e9:.0f} billion operations a picture, forward and back; its gradients "
        f"are {4 * PARAMETERS / 1e6:.0f} MB in float32. Assumed: a GPU of {PEAK / 1e12:.0f} TFLOP/s in float16 of "
        f"which {REACHED:.0%} are reached, {BATCH} pictures a GPU, eight GPUs a machine with {WITHIN / 1e9:.0f} GB/s "
        f"among them, {BETWEEN / 1e9:.0f} GB/s between machines, a ring that sends 2(n-1)/n of the gradients, JPEGs "
        f"of {PICTURE / 1e3:.0f} kB of which a core decodes {DECODED:,} a second. Efficiency: from nothing of the "
        "exchange hidden behind the arithmetic to all of it.",
        "",
        "| GPUs | batch | arithmetic a step | all-reduce a GPU and step | exchange | efficiency | pictures/s | input "
        "| cores that decode | epoch of ImageNet |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    arithmetic = BATCH * 3 * FORWARD / (PEAK * REACHED)
    for gpus in (8, 64, 512):
        sent = 2 * (gpus - 1) / gpus * 4 * PARAMETERS
        exchange = sent / (WITHIN if gpus == 8 else BETWEEN)
        slow, fast = arithmetic + exchange, max(arithmetic, exchange)
        rate = gpus * BATCH / fast
        lines.append(
            f"| {gpus} | {gpus * BATCH:,} | {arithmetic * 1e3:.0f} ms | {sent / 1e9:.2f} GB "
            f"| {exchange * 1e3:.0f} ms | "
            f"{arithmetic / slow:.0%} to {arithmetic / fast:.0%} | {gpus * BATCH / slow:,.0f} to {rate:,.0f} | "
            f"{rate * PICTURE / 1e9:.1f} GB/s | {rate / DECODED:.0f} | {IMAGENET / rate:.0f} s |"
        )
    return "\n".join(lines)


def distributed() -> str:
    """docs/distributed.md with its calculation."""
    text = (DOCS / "distributed.md").read_text()
    begin, end = "<!-- calculation -->\n", "<!-- end of calculation -->"
    return text.partition(begin)[0] + begin + "\n" + calculation() + "\n\n" + end + text.partition(end)[2]


if __name__ == "__main__":
    (DOCS / "performance.md").write_text(page())
    (DOCS / "cats_and_dogs.md").write_text(ladder())
    (DOCS / "distributed.md").write_text(distributed())
