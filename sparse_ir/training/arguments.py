"""Our settings as the Hugging Face Trainer's."""

from __future__ import annotations

import importlib.util
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import transformers

from sparse_ir.errors import ConfigError, MissingExtraError
from sparse_ir.models.masked_lm import find_device

if TYPE_CHECKING:
    from pathlib import Path

    from sparse_ir.training.settings import TrainSettings

_PATIENCE = 24 * 3600  # seconds: the first process may encode a whole corpus for the others


def training_arguments(settings: TrainSettings, folder: Path) -> Any:
    """Make the Trainer's arguments; under torchrun the processes know one another after it.

    Args:
        settings: Ours.
        folder: For checkpoints and logs.

    Raises:
        ConfigError: the device cannot be used, or not at this precision.
        MissingExtraError: TensorBoard logs are asked for and tensorboard is not installed.
    """
    if settings.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError("tensorboard", extra="tensorboard")
    chosen = settings.optimizer
    return arguments_on_device(
        settings.device,
        settings.precision,
        output_dir=str(folder),
        max_steps=chosen.steps,
        gradient_accumulation_steps=settings.batch.accumulate,
        learning_rate=chosen.learning_rate,
        weight_decay=chosen.weight_decay,
        warmup_steps=chosen.warm_up_steps,
        lr_scheduler_type="constant_with_warmup"
        if chosen.schedule == "constant"
        else chosen.schedule,
        max_grad_norm=chosen.max_gradient_norm,
        save_steps=settings.save_every,
        # At least two: an old one goes before the newest is marked as whole.
        save_total_limit=max(2, settings.keep) + (settings.validation is not None),
        logging_steps=settings.log_every,
        report_to=["tensorboard"] if settings.tensorboard else [],
        seed=settings.seed,
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
    )


def arguments_on_device(device: str, precision: str, *, seed: int, **others: Any) -> Any:
    """Make arguments of a trainer of ours.

    Args:
        device: "auto", or a name that torch knows.
        precision: "fp32", "bf16" or "fp16".
        seed: Of model and data.
        others: What ``transformers.TrainingArguments`` takes.

    Raises:
        ConfigError: the device cannot be used, or not at this precision.
    """
    on_cpu = find_device(device).type == "cpu"
    if on_cpu and precision == "fp16":
        raise ConfigError("precision is fp16, which needs a GPU. Use bf16 or fp32.")
    if on_cpu:
        _meet()
    arguments = transformers.TrainingArguments(
        per_device_train_batch_size=1,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=on_cpu,
        save_strategy="steps",
        eval_strategy="no",
        logging_strategy="steps",
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,
        remove_unused_columns=False,
        label_names=[],
        ddp_timeout=_PATIENCE,
        **others,
    )
    # Without torchrun one process has one GPU: the Trainer would spread a batch over all there are
    # (nn.DataParallel), and a batch is not to be parted.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _meet() -> None:
    """Join the processes of torchrun; on CPUs the Trainer would wait half an hour at most."""
    together = int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ
    if together and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=_PATIENCE))
