"""A training on two devices, as its user starts it: to the end, with one release."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.radiographs import write_fracatlas

SETTINGS = """
graph: yolov7-tiny
image_size: 64
crop_size: 64
epochs: 1
samples_per_epoch: 8
batch_size: 2
split: all
validate_every: 1
folds: 2
development_fold: 1
frozen_blocks: 0
workers: 0
gallery: 1
"""


def test_two_processes_make_one_release(tmp_path: Path) -> None:
    data, settings, out = write_fracatlas(tmp_path / "fa"), tmp_path / "settings.yaml", tmp_path / "out"
    settings.write_text(SETTINGS)
    options = ("--data", data, "--config", settings, "--out", out, "--devices", "2", "--strategy", "ddp")
    done = subprocess.run(
        [Path(sys.executable).with_name("cds"), "train", "detector", *map(str, options)],
        capture_output=True, text=True, timeout=300, check=False, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["development"]["n"] == 8
    assert (out / "evaluation" / "index.html").is_file()
