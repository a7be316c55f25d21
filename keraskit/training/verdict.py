"""The verdict: a run's result beside what its recipe promises, where the promise holds for that run."""

import inspect
import math
from pathlib import Path
from typing import Any

from keraskit.config import RunConfig, changed
from keraskit.results.scores import Z
from keraskit.training.setup import TrainingSetup

HARMLESS = {  # knobs that leave the expected figures as they are; what data there is, the data says
    *("seed", "output_dir", "save_every", "device", "devices", "threads", "precision", "xla", "deterministic"),
    "tensorboard",
}


def judge(setup: TrainingSetup, config: RunConfig, options: dict[str, Any], metrics: dict[str, float]) -> str:
    """Compare a run with what the recipe promises; empty where that was measured with other flags or of other data."""
    if config.quick:
        return "a quick run shows that everything runs, not what the recipe reaches"
    recipe, test = setup.recipe, setup.splits.test
    of_data = inspect.signature(recipe.data).parameters
    given = {**options, **changed(config)}
    given = {name: value for name, value in given.items() if name not in HARMLESS and name not in of_data}
    wanted = dict(recipe.expected_with)
    if config.weights in (None, recipe.pretrained and recipe.pretrained.weights):
        for flags_of in (given, wanted):  # Keras's published weights, whether from its file or downloaded
            flags_of.pop("weights", None)
    else:
        given["weights"] = Path(str(config.weights)).name
    if given != wanted or not setup.splits.source.get("reference", True):
        return ""
    verdicts = []
    for name, expected in recipe.expected.items():
        reached, words = metrics[name.removeprefix("test_")], name.replace("_", " ")
        if not name.endswith("accuracy"):  # no share, so chance is not known of it, nor which way is better
            verdicts.append(f"{words} {reached:.4f}, where {expected} is expected")
            continue
        margin = sampling_error(expected, test.size)
        verdict = "BELOW what is expected" if reached < expected - margin else "as expected"
        verdict = "better than expected" if reached > expected + margin else verdict
        interval = f"95% interval of {test.size:,} test examples ±{margin:.3f}"
        verdicts.append(f"{words} {reached:.4f} is {verdict} ({expected}, {interval})")
    return "; ".join(verdicts)


def show(metrics: dict[str, float], verdict: str, advice: list[str]) -> None:
    """Print the test split's metrics and the verdict; the advice unless all is as the recipe promises."""
    for name, value in metrics.items():
        print(f"test {name.replace('_', ' '):16} {value:.4f}")
    if verdict:
        print(verdict)
    if " expected (" not in verdict or "BELOW" in verdict:
        for sentence in advice:
            print(sentence)


def sampling_error(share: float, count: int) -> float:
    """Half the 95 % interval, in steps of 0.001, of an accuracy that is measured on so many examples."""
    return round(Z * math.sqrt(share * (1 - share) / count), 3)
