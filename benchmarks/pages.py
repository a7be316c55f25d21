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
        f"a loop by hand that makes the same choices; all in turn in one run, medians, on "
        f"{machine(record['hardware'])}. The last column is the share of a large matrix product's speed.",
        "",
        "| recipe | batch | document | keraskit | times as fast | keraskit, of by hand | precision, XLA | of peak |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    for name, row in record["recipes"].items():
        hand = f"{1 / row['by hand / keraskit']:.2f}" if "by hand" in row else ""
        lines.append(
            f"| {name} | {row['batch']} | {row['document'] * 1e3:.2f} ms | {row['keraskit'] * 1e3:.2f} ms | "
            f"{row['document / keraskit']:.2f} | {hand} | {row['precision']}, {row['xla']} | "
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


PARTS = {
    "speed.json": speed,
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


if __name__ == "__main__":
    (DOCS / "performance.md").write_text(page())
    (DOCS / "cats_and_dogs.md").write_text(ladder())
