"""What trains lies on the chosen device, the input pipeline on the CPU: shown on a CPU that is two devices."""

import json

PROGRAM = """
import json, sys
from keraskit import start
start.start_tensorflow()
import tensorflow as tf
import keraskit
from keraskit.training import callbacks, hardware

configure, save, found = hardware.configure, callbacks.Checkpoints.save, {}

def first(config):
    cpu = tf.config.list_physical_devices("CPU")[0]  # of which the second part stands for an accelerator
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    hardware.configure = configure
    return configure(config)

def spied(self, *where):
    several = [*self.model.variables, *self.model.metrics_variables, *self.model.optimizer.variables]
    found["there"] = sorted({v.value.device[-5:] for v in several})
    found["here"] = sorted({t.device[-5:] for t in tf.nest.flatten(next(iter(self.best.setup.epochs.batches())))})
    save(self, *where)

hardware.configure, callbacks.Checkpoints.save = first, spied
knobs = {"limit": 64, "epochs": 1, "hidden": (8,), "xla": "off", "output_dir": sys.argv[1]}
found["weights"] = []
for device in ("cpu", "cpu:1"):
    result = keraskit.run("mlp", device=device, **knobs)
    found["weights"].append([w.tobytes().hex() for w in result.model.get_weights()])
print(json.dumps(found))
"""


def test_what_trains_lies_on_the_device_that_was_named_and_the_input_on_the_cpu(preforked, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = preforked.run(tmp_path / "program.py", [tmp_path / "runs"], tmp_path, timeout=400)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["there"], found["here"]) == (["CPU:1"], ["CPU:0"])
    assert found["weights"][0] == found["weights"][1]
