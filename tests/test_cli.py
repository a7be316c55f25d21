"""The command line as a real process: the same in all its forms, fast where it can be, one line for bad input."""

import json
import resource
import subprocess
import sys

import pytest
from conftest import ROOT

from keraskit.recipe import recipes_available

FAST = [
    ["list"],
    ["--help"],
    ["--version"],
    ["run", "--help"],
    ["show", "--help"],
    ["doctor", "--help"],
    ["run", "mlp", "--help"],
    ["show", "cnn", "--help"],
    ["run", "mpl"],
    ["rum"],
    ["resume", "nowhere"],
    ["run", "mlp", "--epoch", "3"],
    ["run", "mlp", "--model.hidden", "x"],
]


@pytest.mark.parametrize("words", FAST, ids=" ".join)
def test_help_lists_and_refusals_do_not_import_tensorflow(words):
    code = (
        "import sys\nfrom keraskit.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "assert not {'tensorflow', 'keras', 'matplotlib', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True, timeout=60)


def test_they_answer_in_half_a_second(command):
    """Of processor time, which starting up consists of: other programs on the machine do not change it much."""

    def seconds():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    times = []
    for words in [["list"], ["--help"], ["run", "mpl"], ["run", "mlp", "--help"]] * 2:
        before = seconds()
        command(*words)
        times.append(seconds() - before)
    assert max(times[i] for i in range(4, 8)) < 0.5, times


def test_list_shows_every_recipe_on_one_line(command):
    lines = command("list").stdout.splitlines()
    assert len(lines) == 1 + len(recipes_available())
    assert next(line for line in lines if line.startswith("mlp")).split()[-1] == "0.982"
    assert any("199,562" in line for line in lines)


BAD = [
    (["run", "mpl"], "Did you mean mlp?"),
    (["rum"], 'Did you mean "run"?'),
    (["run"], "requires an argument"),
    (["run", "mlp", "--epochs", "-3"], "--epochs -3 makes no sense"),
    (["run", "mlp", "--epochs", "many"], "--epochs"),
    (["run", "mlp", "--epoch", "3"], "Did you mean --epochs?"),
    (["run", "mlp", "--learning-rate", "0"], "--learning-rate 0.0 makes no sense"),
    (["run", "mlp", "--learning-rate", "nan"], "--learning-rate nan makes no sense"),
    (["run", "mlp", "--batch-size", "1000000"], "--batch-size 1000000 makes no sense"),
    (["run", "mlp", "--seed", "-1"], "--seed -1"),
    (["run", "mlp", "--device", "tpu"], "expected auto, cpu, gpu, or gpu:1"),
    (["run", "mlp", "--model.hidden", "ten"], "--model.hidden"),
    (["run", "mlp", "--model.hiden", "10"], "Did you mean --model.hidden?"),
    (["run", "mlp", "extra"], "extra"),
    (["show", "nothing"], "There is no recipe 'nothing'"),
    (["resume", "nowhere"], "There is no run folder nowhere"),
    (["run", "mlp", "--save-every", "0"], "--save-every 0 makes no sense"),
]


@pytest.mark.parametrize(("words", "says"), BAD, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_bad_input_is_one_line_on_stderr_and_exit_code_2(command, tmp_path, words, says):
    done = command(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and says in done.stderr and "keraskit" in done.stderr
    assert not list(tmp_path.iterdir())


def test_bad_input_that_only_a_run_can_find(command, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "mnist.npz").write_bytes(b"damaged")
    for words, says in [
        (["--output-dir", "file"], "is a file"),
        (["--data-dir", tmp_path], "cannot be read"),
        (["--data-dir", "nowhere"], "holds no mnist.npz"),
        (["--model.hidden", "-4"], "cannot be built"),
        (["--device", "gpu"], "sees no GPU"),
    ]:
        done = command("run", "mlp", *words)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert done.stderr.count("\n") == 1 and says in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "mnist.npz"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a place that nobody may write, and /proc is one on Linux")
def test_an_output_folder_that_cannot_be_written(command):
    done = command("run", "mlp", "--quick", "--output-dir", "/proc/runs")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "/proc" in done.stderr and "--output-dir" in done.stderr and "epoch" not in done.stdout


def test_debug_shows_the_traceback(command):
    assert "Traceback" in command("run", "mpl", KERASKIT_DEBUG="1").stderr


@pytest.mark.parametrize("module", ["keraskit", "keraskit.recipes.mlp"])
def test_a_quick_run_as_a_process_says_one_line_each_and_nothing_on_stderr(command, tmp_path, module):
    words = ["run", "mlp"] if module == "keraskit" else []
    done = command(*words, "--quick", "--model.hidden", "32", "16", module=module)
    assert (done.returncode, done.stderr) == (0, "")
    starts = [
        "recipe",
        "data",
        "device",
        "threads",
        "precision",
        "xla",
        "steps",
        "batches",
        "parts",
        "devices",
        "run",
        "epoch",
        "epoch",
        "test",
        "test",
        "time",
        "report",
    ]
    assert [line.split()[0] for line in done.stdout.splitlines()] == starts
    assert "about" in done.stdout and "\b" not in done.stdout
    (folder,) = (tmp_path / "runs" / "mlp").iterdir()
    run = json.loads((folder / "run.json").read_text())
    assert run["command"] == "keraskit run mlp --quick --model.hidden 32 16" and run["parameters"] == 25_818


def test_both_forms_take_the_same_flags(command):
    def flags(help_text):
        return {word for word in help_text.replace("│", " ").split() if word.startswith("--")} - {"--help"}

    a = command("run", "mlp", "--help").stdout
    b = command("--help", module="keraskit.recipes.mlp").stdout
    assert flags(a) == flags(b) >= {"--epochs", "--model.hidden", "--quick"}
    assert "Units of each hidden layer." in a


def test_show_prints_the_summary_and_draws_the_graph(command, tmp_path):
    done = command("show", "cnn", "--model.as-printed", "--graph", "graph.svg")
    assert done.returncode == 0 and "138,122" in done.stdout and "(document, section 3.3.2" in done.stdout
    assert "<svg" in (tmp_path / "graph.svg").read_text()
    bad = command("show", "cnn", "--graph", "graph.xyz")
    assert bad.returncode == 2 and "does not end in" in bad.stderr


def test_doctor_looks_at_what_matters(command):
    done = command("doctor")
    assert done.returncode == 0
    for word in ("tensorflow", "keras", "cpu", "gpu", "graph layout", "mnist", "free disk"):
        assert f"\n{word}" in done.stdout
    assert str(ROOT / "data" / "mnist.npz") in done.stdout


def test_interrupt_ends_with_130_and_one_line(tmp_path):
    import signal

    line = [sys.executable, "-m", "keraskit", "run", "mlp", "--epochs", "500"]
    process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not process.stdout.readline().startswith("epoch"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and stderr.count("\n") == 1 and "Interrupted" in stderr
    (folder,) = (tmp_path / "runs" / "mlp").iterdir()
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    assert (folder / "model.keras").is_file()
