"""What trains lies on the chosen device, the input pipeline on the CPU: shown on a CPU that is two devices."""

import json
import os
from pathlib import Path

import pytest

from keraskit.registry import recipes_available

RECIPES = [name for name, card in recipes_available().items() if card.trains]


@pytest.fixture(scope="module")
def placed(tmp_path_factory, preforked):
    """Devices by recipe, from a process that has two and is told to use the second."""
    folder = tmp_path_factory.mktemp("placed")
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    program = Path(__file__).with_name("placed.py")
    done = preforked.run(program, [folder / "runs"], folder, environment, timeout=400)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("recipe", [*RECIPES, "a run"])
def test_what_trains_lies_on_the_device_that_was_named_and_the_input_on_the_cpu(recipe, placed):
    there, here = placed[recipe]["there"], placed[recipe]["here"]
    assert not {name: device for name, device in there.items() if device != "CPU:1"}
    assert not {name: device for name, device in here.items() if device != "CPU:0"}
    kinds = {name.partition(":")[0] for name in there}
    assert {"training copy's variables", "training copy's metrics", "training copy's optimizer"} <= kinds or (
        recipe == "a run" and kinds == {"variables", "metrics", "optimizer"}
    )
    assert recipe == "a run" or len(here) > 8


def test_another_device_of_the_same_kind_learns_the_same(placed):
    assert placed["a run"]["equal"]
