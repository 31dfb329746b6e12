"""Our settings as the Hugging Face Trainer's."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import transformers

from sparse_ir.errors import MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

    from sparse_ir.training.settings import TrainSettings

_PATIENCE = 24 * 3600  # seconds: the first process may encode a whole corpus for the others


def training_arguments(settings: TrainSettings, folder: Path) -> Any:
    """Make the Trainer's arguments.

    Args:
        settings: Ours.
        folder: For checkpoints and logs.

    Raises:
        MissingExtraError: TensorBoard logs are asked for and tensorboard is not installed.
    """
    if settings.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError("tensorboard", extra="tensorboard")
    chosen = settings.optimizer
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=chosen.steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=settings.batch.accumulate,
        learning_rate=chosen.learning_rate,
        weight_decay=chosen.weight_decay,
        warmup_steps=chosen.warm_up_steps,
        lr_scheduler_type="constant_with_warmup"
        if chosen.schedule == "constant"
        else chosen.schedule,
        max_grad_norm=chosen.max_gradient_norm,
        bf16=settings.precision == "bf16",
        fp16=settings.precision == "fp16",
        use_cpu=settings.device == "cpu",
        save_strategy="steps",
        save_steps=settings.save_every,
        # At least two: an old one goes before the newest is marked as whole.
        save_total_limit=max(2, settings.keep) + (settings.validation is not None),
        eval_strategy="no",
        logging_strategy="steps",
        logging_steps=settings.log_every,
        logging_nan_inf_filter=False,
        report_to=["tensorboard"] if settings.tensorboard else [],
        disable_tqdm=True,
        seed=settings.seed,
        data_seed=settings.seed,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        label_names=[],
        ddp_timeout=_PATIENCE,
    )
    # Without torchrun one process has one GPU: the Trainer would spread a batch over all there are
    # (nn.DataParallel), and a batch is not to be parted.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
