"""A tiny BERT, a collection of twelve words and runs of seconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

with warnings.catch_warnings():
    # Whatever torch and its like warn of when they are first imported is not ours to mend.
    warnings.simplefilter("ignore")
    import accelerate  # noqa: F401
    import torch  # noqa: TC002
    import transformers

HERE = Path(__file__).parent
sys.path.append(str(HERE))  # for tiny_run; last, so that it hides nothing

import tiny_run  # noqa: E402


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of two layers with a head; not to be written to."""
    return tiny_run.make_backbone(tmp_path_factory.mktemp("backbones") / "tiny")


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve queries of a word, each answered by one document; not to be written to."""
    return tiny_run.write_collection(tmp_path_factory.mktemp("collections") / "words")


@pytest.fixture
def run(backbone: Path, collection: Path, tmp_path: Path) -> Callable[..., Any]:
    """Train here: ``run(optimizer__steps=5)``; the model lies in ``tmp_path / "model"``.

    ``run.values(…)`` gives the settings alone.
    """
    from sparse_ir.config import load_settings
    from sparse_ir.training.settings import TrainSettings
    from sparse_ir.training.train import train

    def values(**changes: Any) -> dict[str, Any]:
        out = changes.pop("out", tmp_path / "model")
        return tiny_run.settings(backbone, collection, out, **changes)

    def call(**changes: Any) -> Any:
        return train(load_settings(TrainSettings, values(**changes), where="test"))

    call.values = values  # type: ignore[attr-defined]
    return call


LAUNCHERS: dict[str, Callable[[int], list[str]]] = {
    # A port of its own each time: --standalone finds one, and so does port 0.
    "torchrun": lambda n: [
        "torch.distributed.run", "--standalone", f"--nproc-per-node={n}", "-m",
    ],
    # With --cpu it would start a single process.
    "accelerate": lambda n: [
        "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(n),
        "--num_machines", "1", "--main_process_port", "0", "--mixed_precision", "no",
        "--dynamo_backend", "no", "-m",
    ],
}  # fmt: skip


class Elsewhere:
    """A run in processes of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(
        self, values: dict[str, Any], *, devices: int = 1, launcher: str = "torchrun"
    ) -> subprocess.Popen[str]:
        """Start ``sparse-ir train``, by a launcher where there are several devices."""
        config = self.folder / "train.json"  # JSON is YAML
        config.write_text(json.dumps(values), encoding="utf-8")
        command = [sys.executable, "-m"]
        if devices > 1:
            command += LAUNCHERS[launcher](devices)
        command += ["sparse_ir", "train", str(config)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def finish(
        self, values: dict[str, Any], *, devices: int = 1, launcher: str = "torchrun"
    ) -> str:
        """Run to the end; return what it said."""
        process = self.start(values, devices=devices, launcher=launcher)
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 0, said
        return said

    def kill_at(
        self, values: dict[str, Any], there: Callable[[], bool], *, devices: int = 1
    ) -> None:
        """Start it and end all its processes with SIGKILL as soon as something is there."""
        process = self.start(values, devices=devices)
        deadline = time.monotonic() + 240
        while not there() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        assert process.poll() is None, process.communicate()[0]
        trainers = psutil.Process(process.pid).children(recursive=True)
        for one in (process, *trainers):  # the launcher first: it would end the others gently
            one.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    """Start training in processes of its own."""
    return Elsewhere(tmp_path)


@pytest.fixture
def weights_of() -> Callable[[Path], dict[str, torch.Tensor]]:
    """The tensors of a saved model folder."""
    from safetensors.torch import load_file

    return lambda folder: load_file(folder / "model.safetensors")


transformers.utils.logging.disable_progress_bar()
