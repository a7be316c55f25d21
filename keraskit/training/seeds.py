"""--seeds: a run for each of several seeds, and the mean of their results with its standard error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from keraskit.config import RunConfig

if TYPE_CHECKING:
    from keraskit.recipe import Recipe
    from keraskit.training.runner import RunResult


def train_seeds(
    recipe: Recipe, config: RunConfig, options: dict[str, Any], train: Callable[..., RunResult]
) -> RunResult:
    """Train once with each of `config.seeds` seeds, print means with standard errors, and return the last result."""
    results: list[RunResult] = []
    for seed in range(config.seed, config.seed + config.seeds):
        print(f"seed           {seed}, {len(results) + 1} of {config.seeds}", flush=True)
        results.append(train(recipe, config.replace(seed=seed, seeds=1), options))
    for name in results[0].metrics:
        values = np.array([result.metrics[name] for result in results])
        error = values.std(ddof=1) / math.sqrt(len(values))
        print(f"mean {name.replace('_', ' '):16} {values.mean():.4f} ± {error:.4f}, of {len(values)} seeds", flush=True)
    return results[-1]
