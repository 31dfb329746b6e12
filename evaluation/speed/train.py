"""Training steps a second and peak memory, against sentence-transformers' SparseEncoderTrainer.

    python evaluation/speed/train.py TRIPLETS [--device cuda]

TRIPLETS is whatever ``sparse-ir train --examples`` takes, with one negative or more an example.
Both sides start from the bundled model and minimise cross entropy over the batch with hard
negatives plus FLOPS. Both see the same examples in the same batches, those that sparse-ir draws;
documents are cut at the same length; queries are cut by sparse-ir at a quarter of it, and by
sentence-transformers, which has one length for both, at the whole. A document that a batch holds
twice is encoded once by sparse-ir and twice by sentence-transformers. Each round runs each side in
a process of its own, in turns; the figures are medians. Memory is the peak of the process above
what it held when the model was loaded.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time

SIDES = ("sparse-ir", "sentence-transformers")
QUERY_TOKENS, DOCUMENT_TOKENS = 32, 128
RATE = 2e-5
SEED = 1
EXAMPLES = {"group": True, "limit": 4000}


class Meter:
    """Times of steps, and the highest memory: on a CPU above that of the loaded model, on a GPU all
    that torch holds there, the model included (the two sides move it there at other moments).
    """

    def __init__(self, device: str) -> None:
        import psutil

        self._process = psutil.Process()
        self._device = device
        self.times: list[float] = []
        self._ready = 0
        self._peak = 0
        self._watching = False

    def ready(self) -> None:
        import gc

        import torch

        from sparse_ir.models.memory import return_free_memory

        gc.collect()
        if self._device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        else:
            return_free_memory()  # what loading left behind is of neither side's steps
            self._ready = self._peak = self._process.memory_info().rss
            self._watching = True
            threading.Thread(target=self._watch, daemon=True).start()

    def step(self) -> None:
        if self._device == "cuda":
            import torch

            torch.cuda.synchronize()
        self.times.append(time.perf_counter())

    def _watch(self) -> None:
        while self._watching:
            self._peak = max(self._peak, self._process.memory_info().rss)
            time.sleep(0.005)

    def result(self) -> dict[str, float]:
        self._watching = False
        if self._device == "cuda":
            import torch

            self._peak = torch.cuda.max_memory_allocated()
        apart = [b - a for a, b in zip(self.times[1:], self.times[2:], strict=False)]
        return {
            "steps_per_second": 1 / statistics.median(apart),
            "memory": float(self._peak - self._ready),
        }


def ours(arguments: argparse.Namespace) -> dict[str, float]:
    from sparse_ir.config import load_settings
    from sparse_ir.training.settings import TrainSettings
    from sparse_ir.training.train import train

    meter = Meter(arguments.device)
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(
            TrainSettings,
            {
                "model": {
                    "backbone": "default",
                    "query_tokens": QUERY_TOKENS,
                    "document_tokens": DOCUMENT_TOKENS,
                    "gradient_checkpointing": arguments.checkpointing > 0,
                    "checkpoint_every": max(1, arguments.checkpointing),
                },
                "out": f"{folder}/model",
                "examples": [{"source": arguments.triplets, **EXAMPLES}],
                "losses": {"in_batch_hard": 1.0},
                "sparsity": {"lambda_query": 1e-3, "lambda_document": 1e-3, "warm_up": 0.0},
                "batch": {"queries": arguments.batch, "negatives": 1},
                "optimizer": {
                    "steps": arguments.steps,
                    "learning_rate": RATE,
                    "warm_up_steps": 0,
                    "schedule": "constant",
                },
                "seed": SEED,
                "precision": arguments.precision,
                "device": arguments.device,
                "save_every": 10**6,
            },
            where="benchmark",
        )

        def say(line: str) -> None:
            if "begins with" in line:  # the model is loaded, nothing else is
                meter.ready()

        train(settings, advance=lambda n: meter.step(), say=say)
    return meter.result()


def drawn(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """The texts of all steps as sparse-ir draws them, batch after batch."""
    from sparse_ir.data.examples import ExampleSettings, open_examples
    from sparse_ir.training.sampling import Sampler, Source
    from sparse_ir.training.settings import BatchSettings

    table = open_examples(ExampleSettings(arguments.triplets, **EXAMPLES))
    batch = BatchSettings(queries=arguments.batch, negatives=1)
    sampler = Sampler([Source(table, 1.0, None, ())], batch, seed=SEED)
    columns: dict[str, list[str]] = {"anchor": [], "positive": [], "negative": []}
    for number in range(arguments.steps):
        step = sampler.step(number)
        documents = table.documents.texts(step.documents)
        columns["anchor"] += table.queries.texts(step.queries)
        if step.own.shape[1] < 2 or (step.own < 0).any():
            raise SystemExit(f"{arguments.triplets}: an example has no negative.")
        for positive, negative in step.own.tolist():
            columns["positive"].append(documents[positive])
            columns["negative"].append(documents[negative])
    return columns


def theirs(arguments: argparse.Namespace) -> dict[str, float]:
    import transformers
    from datasets import Dataset
    from sentence_transformers import SparseEncoder, SparseEncoderTrainer
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from sentence_transformers.sparse_encoder.losses import (
        SparseMultipleNegativesRankingLoss,
        SpladeLoss,
    )
    from sentence_transformers.sparse_encoder.training_args import SparseEncoderTrainingArguments
    from torch.utils.data import SequentialSampler

    from sparse_ir.models.default_model import default_model

    columns = drawn(arguments)
    model = SparseEncoder(str(default_model()), device=arguments.device)
    model.max_seq_length = DOCUMENT_TOKENS
    loss = SpladeLoss(
        model,
        SparseMultipleNegativesRankingLoss(model),
        document_regularizer_weight=1e-3,
        query_regularizer_weight=1e-3,
    )
    meter = Meter(arguments.device)
    meter.ready()

    class Callback(transformers.TrainerCallback):
        def on_step_end(self, *_, **__):
            meter.step()

    def in_order(dataset, **options):
        return DefaultBatchSampler(SequentialSampler(dataset), **options)

    with tempfile.TemporaryDirectory() as folder:
        trainer = SparseEncoderTrainer(
            model=model,
            args=SparseEncoderTrainingArguments(
                output_dir=folder,
                max_steps=arguments.steps,
                per_device_train_batch_size=arguments.batch,
                batch_sampler=in_order,
                learning_rate=RATE,
                lr_scheduler_type="constant",
                bf16=arguments.precision == "bf16",
                use_cpu=arguments.device == "cpu",
                save_strategy="no",
                report_to=[],
                gradient_checkpointing=arguments.checkpointing_theirs,
                logging_steps=10**6,
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_dict(columns),
            loss=loss,
            callbacks=[Callback()],
        )
        trainer.train()
    return meter.result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("triplets")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument(
        "--checkpointing", type=int, nargs="?", const=1, default=0, metavar="N",
        help="Ours with it, in every Nth layer.",
    )  # fmt: skip
    parser.add_argument("--checkpointing-theirs", action="store_true", help="Theirs with it.")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.steps < 3:
        parser.error("--steps is below 3: what is timed begins after the second.")
    if arguments.side:
        run = ours if arguments.side == SIDES[0] else theirs
        print("RESULT " + json.dumps(run(arguments)))
        return
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for number in range(arguments.rounds):
        order = SIDES if number % 2 == 0 else SIDES[::-1]
        for side in order:
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
            done = subprocess.run(command, capture_output=True, text=True)
            lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
            if not lines:
                sys.exit(done.stderr[-2000:])
            found[side].append(json.loads(lines[0][7:]))
            print(number + 1, side, found[side][-1], flush=True)
    print(f"\n{platform.processor() or platform.machine()}, {arguments.device}, "
          f"{arguments.precision}, batch {arguments.batch} x 3 texts")  # fmt: skip
    medians = {
        side: {k: statistics.median(r[k] for r in rows) for k in rows[0]}
        for side, rows in found.items()
    }
    for side, values in medians.items():
        print(f"{side:24} {values['steps_per_second']:.3f} steps/s "
              f"{values['memory'] / 1e6:,.0f} MB above the model")  # fmt: skip
    first, second = (medians[side] for side in SIDES)
    print(f"speed {first['steps_per_second'] / second['steps_per_second']:.2f} x, "
          f"memory {first['memory'] / second['memory']:.3f} of theirs")  # fmt: skip


if __name__ == "__main__":
    main()
