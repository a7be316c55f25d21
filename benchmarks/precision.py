"""Whether the precision that keraskit chooses changes what a model learns: test accuracy over several seeds.

    python benchmarks/precision.py [RECIPE ...] [--seeds 0 1 2] [--photographs FOLDER] [--json docs/precision.json]

Each seed is trained in float32 and as `auto` chooses, from the same initial weights on the same batches. A trained
model is also evaluated in both precisions: that is what the arithmetic alone changes. What was measured is written
after every run, and a run that is recorded is not repeated.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from keraskit import start

start.start_tensorflow()

import keraskit  # noqa: E402
from keraskit.config import RunConfig  # noqa: E402
from keraskit.recipe import call  # noqa: E402
from keraskit.registry import load_recipe  # noqa: E402
from keraskit.runs.folder import MANIFEST, RunFolder  # noqa: E402
from keraskit.training import hardware, setup  # noqa: E402
from keraskit.training.settings import settle  # noqa: E402

PETS_EPOCHS = 12  # of the recipe's 30: validation has flattened by then


def measure(name: str, seed: int, precision: str, photographs: Path | None) -> dict:
    """One training."""
    pets = name.startswith("cats_dogs")
    knobs = {"seed": seed, "precision": precision} | ({"epochs": PETS_EPOCHS} if pets else {})
    options = {"data_dir": photographs} if pets and photographs else {}
    with tempfile.TemporaryDirectory() as folder:
        result = keraskit.run(name, output_dir=folder, **knobs, **options)
        manifest = RunFolder(result.folder).read_json(MANIFEST)
    recipe = load_recipe(name)
    settings = settle(recipe, RunConfig(**knobs), options)
    splits = setup.load(recipe, settings, result.model, call(recipe.data, settings.arguments))
    other = setup.copied(recipe, settings, result.model, hardware.POLICIES["bfloat16"], {})
    call(recipe.compile, settings.arguments, model=other, steps=1)
    test = splits.test.in_order(2 * settings.batch_size)
    return {
        "precision": manifest["choices"]["precision"]["value"],
        "epochs": settings.epochs,
        "data": manifest["data"]["name"],
        "test_size": splits.test.size,
        "accuracy": result.metrics["accuracy"],
        "in_bfloat16": other.evaluate(test, verbose=0, return_dict=True)["accuracy"],
    }


def summary(runs: dict[str, dict]) -> dict:
    """Differences over the seeds that were run both ways, in points of test accuracy."""
    seeds = sorted({key.split()[0] for key in runs if f"{key.split()[0]} float32" in runs})
    pairs = [(runs[f"{s} float32"], runs[f"{s} auto"]) for s in seeds if f"{s} auto" in runs]
    gaps = [100 * (auto["accuracy"] - plain["accuracy"]) for plain, auto in pairs]
    alone = [100 * (run["in_bfloat16"] - run["accuracy"]) for run in runs.values()]
    error = statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else None
    return {
        "seeds": len(gaps),
        "float32": statistics.mean(plain["accuracy"] for plain, _ in pairs) if pairs else None,
        "auto": statistics.mean(auto["accuracy"] for _, auto in pairs) if pairs else None,
        "difference": statistics.mean(gaps) if gaps else None,
        "standard_error": error,
        "same_weights_most": max(map(abs, alone)),
    }


def main() -> None:
    """Train, record after each run, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*", default=["cnn", "cats_dogs"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--json", type=Path, default=Path("docs/precision.json"))
    asked = parser.parse_args()
    record = json.loads(asked.json.read_text()) if asked.json.exists() else {"recipes": {}}
    record["hardware"] = hardware.describe()
    for seed in asked.seeds:
        for name in asked.recipes:
            runs = record["recipes"].setdefault(name, {"runs": {}})["runs"]
            for precision in ("float32", "auto"):
                if f"{seed} {precision}" not in runs:
                    runs[f"{seed} {precision}"] = measure(name, seed, precision, asked.photographs)
                    record["recipes"][name]["summary"] = summary(runs)
                    asked.json.write_text(json.dumps(record, indent=2) + "\n")
    for name, found in record["recipes"].items():
        print(name, found["summary"])


if __name__ == "__main__":
    main()
