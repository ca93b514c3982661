"""What a run says on the way."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np

from span_keras.runs.folder import RunFolder
from span_keras.runs.options import RunSettings
from span_keras.runs.progress import Progress
from span_keras.runs.record import Record
from span_keras.training.trainer import Report


def test_a_discriminator_that_waits_is_told_once(tmp_path):
    said, run = [], RunSettings(log_every=2)
    record = Record(run, RunFolder(tmp_path), SimpleNamespace(bicubic=dict), Progress(run, 0, said.append))
    values = {"loss": 1.0, "rate": 1e-4, "skipped": 0.0, "restored": 0.0, "discriminator_skipped": 0.0}
    for step, waits in enumerate((0, 0, 1, 1, 0, 1), 1):
        logs = {
            name: np.full(1, value, np.float32) for name, value in (values | {"discriminator_waits": waits}).items()
        }
        record.log(Report(step, logs, 0.1))
    record.close()
    told = [line for line in said if "the discriminator waits" in line]
    assert len(told) == 1 and told[0].startswith("Step 4: ")
    assert [row["discriminator_waits"] for row in RunFolder(tmp_path).rows("log.csv")] == [0, 2, 1]


def test_event_files_need_no_tensorflow(tmp_path):
    """Where it is installed, too: on JAX it would take seconds and chatter."""
    script = """
import sys
from pathlib import Path
from span_keras.runs.tensorboard import TensorBoard
board = TensorBoard(Path(sys.argv[1]))
board.scalars(1, "train", {"loss": 0.5})
board.close()
print(board.available, "tensorflow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
    assert len(list(tmp_path.glob("events*"))) == 1
