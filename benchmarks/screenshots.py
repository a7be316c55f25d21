"""Shoots the pages that runs write, as a phone, a tablet, a screen and paper show them, to be looked at.

python benchmarks/screenshots.py [--output build/pages] [--only mlp cnn] [--readme]

Makes the runs that are not there yet, writes all pages anew, counts what axe finds and the pages on paper.
"""

import argparse
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

import keraskit
from keraskit import Recipe, from_arrays
from keraskit.cli import run_commands
from keraskit.errors import UserError
from keraskit.runs import report
from keraskit.runs.folder import RunFolder
from keraskit.tools.demo.demo import write_demo

DOCS = Path(__file__).resolve().parents[1] / "docs"
SIZES = {"phone": (360, 740), "tablet": (800, 1000), "screen": (1400, 900)}
WORDS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CHINESE = ("圆形", "方块", "一种名字很长的三角形", "线")
RANDOM = np.random.default_rng(0)


def dense(x: np.ndarray, y: np.ndarray, units: int, end: str | None, loss: str, metrics: list[str], **more: Any) -> Any:
    """A recipe of two dense layers on these arrays, 60% for training."""
    cut, data = len(x) * 3 // 5, {name: more.pop(name) for name in ("classes", "name", "scale") if name in more}

    def build() -> keras.Model:
        inputs = x0 = keras.Input(x.shape[1:], name="measured")
        x0 = keras.layers.Flatten()(x0) if x.ndim > 2 else x0
        x0 = keras.layers.Dense(16, activation="relu", name="hidden")(x0)
        return keras.Model(inputs, keras.layers.Dense(units, activation=end, name="answer")(x0))

    def compile_model(model: keras.Model, learning_rate: float = 0.01) -> None:
        model.compile(keras.optimizers.Adam(learning_rate), loss, metrics=list(metrics))

    arrays = from_arrays(x[:cut], y[:cut], x[cut:], y[cut:], **data)
    return Recipe(build=build, compile=compile_model, data=arrays, **{"monitor": "val_loss", "epochs": 12, **more})


def regression() -> Recipe:
    """Prices of houses, made up."""
    x = RANDOM.normal(size=(1_500, 5)).astype("f4")
    y = (200 + 40 * x[:, 0] + 25 * x[:, 1] * (x[:, 1] > 0) + RANDOM.normal(scale=12, size=1_500)).astype("f4")
    return dense(x, y / 100, 1, None, "mse", ["mae"], name="prices", epochs=20)


def several_labels() -> Recipe:
    """Four labels, of which some are rare."""
    x = RANDOM.normal(size=(2_000, 8)).astype("f4")
    y = np.stack([x[:, i] + 0.5 * RANDOM.normal(size=2_000) > cut for i, cut in enumerate((0, 0.5, 1.2, 1.8))], axis=1)
    return dense(x, y.astype("f4"), 4, "sigmoid", "binary_crossentropy", ["binary_accuracy"], name="signs in a scene")


def imbalanced() -> Recipe:
    """A class in ten, which is hard to find."""
    x = RANDOM.normal(size=(2_000, 6)).astype("f4")
    y = (x[:, 0] + RANDOM.normal(size=2_000) > 1.8).astype(int)
    names = ["healthy", "ill"]
    return dense(x, y, 2, "softmax", "sparse_categorical_crossentropy", ["accuracy"], classes=names, name="patients")


def chinese() -> Recipe:
    """Pictures of four shapes with Chinese names, some of them long."""
    y = RANDOM.integers(0, 4, 800)
    x = RANDOM.integers(0, 120, (800, 20, 20)).astype("u1")
    for i, label in enumerate(y):
        x[i, 5:15, 5 + 2 * label : 8 + 2 * label] += 60
    data = {"classes": CHINESE, "name": "图形", "scale": "unit"}
    return dense(x, y, 4, "softmax", "sparse_categorical_crossentropy", ["accuracy"], epochs=3, **data)


def stop() -> list[keras.callbacks.Callback]:
    """Ctrl-C in the fourth epoch."""
    interrupt = lambda epoch, logs: epoch == 3 and os.kill(os.getpid(), signal.SIGINT)  # noqa: E731
    return [keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)]


RUNS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "mlp": (lambda: "mlp", {}),
    "cnn": (lambda: "cnn", {"quick": True}),
    "multi_output": (lambda: "multi_output", {"quick": True}),
    "regression": (regression, {}),
    "several_labels": (several_labels, {}),
    "chinese": (chinese, {}),
    "imbalanced": (imbalanced, {}),
    "interrupted": (lambda: "mlp", {"limit": 4_000, "callbacks": f"{__file__}:stop"}),
    "failed": (lambda: "mlp", {"limit": 4_000, "learning_rate": 1e30}),
    "diverged": (lambda: "mlp", {"limit": 2_000, "learning_rate": 10.0, "epochs": 4}),
}


def made(name: str, place: Path) -> Path:
    """The folder of a run of this name, which is trained where it is missing; its report is written anew."""
    home = place / name
    if not home.exists():
        recipe, knobs = RUNS.get(name, (lambda: "cnn", {}))  # the README has cnn in full
        try:
            keraskit.run(recipe(), output_dir=home, **knobs)
        except (UserError, KeyboardInterrupt) as error:
            print(f"{name}: {error}")
    (manifest,) = home.glob("*/*/run.json")
    report.write_report(RunFolder(manifest.parent))
    return manifest.parent


def shoot(browser: Browser, page: Path, place: Path, name: str) -> None:
    """Shoot a page at all sizes, light and dark, print it, and tell its heights and what is wrong with it."""
    for scheme in ("light", "dark"):
        tab = browser.new_page(color_scheme=scheme, viewport={"width": 800, "height": 900})
        tab.goto(page.as_uri())
        heights = []
        for size, (width, height) in SIZES.items():
            tab.set_viewport_size({"width": width, "height": height})
            tab.screenshot(path=place / f"{name}-{size}-{scheme}.png", full_page=True)
            wide, high = tab.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
            heights.append(f"{size} {high} px{' TOO WIDE' if wide > width else ''}")
        tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        wrong = [each["id"] for each in Axe().run(tab).response["violations"]]
        tab.reload()
        sheets = len(re.findall(rb"/Type\s*/Page\b", tab.pdf(path=place / f"{name}.pdf", format="A4")))
        print(f"{name:15} {scheme:6} {', '.join(heights)}; {sheets} on paper; axe: {', '.join(wrong) or 'nothing'}")
        tab.close()


def show(browser: Browser, runs: Path) -> None:
    """Shoot the README's pictures: the report of mlp, the mistakes of cnn, and its demo with a three drawn on it."""
    tab = browser.new_page(viewport={"width": 1000, "height": 1350})
    tab.goto((made("mlp", runs) / report.REPORT).as_uri())
    tab.screenshot(path=DOCS / "report.png")
    run = made("cnn in full", runs)
    shutil.copy(run / "mistakes.png", DOCS / "pictures")
    tab = browser.new_page(viewport={"width": 1160, "height": 1195})
    tab.goto(write_demo(run).as_uri())
    box = tab.locator("#ink").bounding_box()
    assert box
    for i, angle in enumerate([*np.linspace(-2.7, 1.5, 40), *np.linspace(-1.5, 2.7, 40)]):
        x, y = 0.5 + 0.2 * np.cos(angle), (0.33, 0.67)[i // 40] + 0.17 * np.sin(angle)
        tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        tab.mouse.down()
    tab.mouse.up()
    tab.wait_for_timeout(1_000)
    tab.screenshot(path=DOCS / "demo.png")


def main() -> None:
    """Make the runs and shoot their pages, and those of `runs` and `compare`."""
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("--output", type=Path, default=Path("build/pages"))
    words.add_argument("--readme", action="store_true", help="shoot the README's pictures too")
    words.add_argument("--only", nargs="+", default=[*RUNS, "runs", "compare"])
    asked = words.parse_args()
    runs, shots = asked.output.absolute() / "runs", asked.output.absolute() / "shots"
    shots.mkdir(parents=True, exist_ok=True)
    pages = {name: made(name, runs) / report.REPORT for name in asked.only if name in RUNS}
    if "runs" in asked.only:
        run_commands.runs(runs, html=True)
        pages["runs"] = runs / "index.html"
    if "compare" in asked.only:
        pages["compare"] = runs / "compared.html"
        trained = [path for path in runs.iterdir() if [*path.glob("*/*/history.csv")] and path.name != "failed"]
        run_commands.compare(*sorted(trained), output=runs / "compared.png", html=pages["compare"])
    with sync_playwright() as running:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = running.chromium.launch(executable_path=path, args=WORDS)
        for name, page in pages.items():
            shoot(browser, page, shots, name)
        if asked.readme:
            show(browser, runs)
        browser.close()


if __name__ == "__main__":
    main()
