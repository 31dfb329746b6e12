"""The Hugging Face Trainer around a small masked LM."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import transformers

from sparse_ir.errors import ConfigError, TrainingError
from sparse_ir.models.pretrained import quiet
from sparse_ir.training import checkpoints
from sparse_ir.training.arguments import arguments_on_device
from sparse_ir.training.gather import rank, world_size
from sparse_ir.training.history import History
from sparse_ir.training.masking import MaskedBatches, read_blocks
from sparse_ir.training.memory import out_of_memory_as
from sparse_ir.training.small_lm import SmallLM, new_lm, plain_lm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from sparse_ir.training.pretrain import PretrainSettings
    from sparse_ir.training.pretraining_folder import Workplace


def pretraining_arguments(settings: PretrainSettings, folder: Path) -> Any:
    """Our settings as the Trainer's.

    Raises:
        ConfigError: the device cannot be used, or not at this precision.
    """
    return arguments_on_device(
        settings.device,
        settings.precision,
        output_dir=str(folder),
        max_steps=settings.steps,
        learning_rate=settings.learning_rate,
        weight_decay=0.01,
        warmup_steps=max(1, settings.steps // 20),
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        save_steps=settings.save_every,
        save_total_limit=2,
        logging_steps=settings.log_every,
        report_to=[],
        seed=settings.seed,
    )


class MaskedTrainer(transformers.Trainer):
    """Trains a ``SmallLM``; its checkpoints count once they are whole.

    Attributes:
        last_loss: Mean loss of the steps of the last line of the log, in nats.
    """

    def __init__(
        self,
        model: SmallLM,
        batches: MaskedBatches,
        *,
        arguments: Any,
        history: History,
        advance: Callable[[int], None],
    ) -> None:
        """Prepare; see ``pretrain.py``."""
        self.batches, self._history = batches, history
        self.last_loss = float("nan")
        super().__init__(
            model=model, args=arguments, train_dataset=batches, callbacks=[_Steps(advance)]
        )
        self.remove_callback(transformers.PrinterCallback)  # a library prints nothing

    def get_train_dataloader(self) -> Any:
        """One item of ``MaskedBatches`` is a whole step; accelerate must not share it out."""
        return torch.utils.data.DataLoader(
            self.batches, batch_size=1, shuffle=False, collate_fn=lambda items: items[0]
        )

    def compute_loss(
        self,
        model: Any,
        inputs: Mapping[str, Tensor],
        return_outputs: bool = False,  # noqa: ARG002 - the Trainer's own signature
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Tensor:
        """The mean loss over all devices' tokens, for gradients that are averaged.

        Raises:
            TrainingError: the loss is not a finite number.
        """
        loss: Tensor = model(**inputs)["loss"]
        if not torch.isfinite(loss):
            kept = checkpoints.last_good(Path(str(self.args.output_dir)))
            raise TrainingError(
                f"The loss is {float(loss)} at step {self.state.global_step}. {kept} Start again "
                "(--replace) with a lower learning_rate."
            )
        return loss * world_size()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write a line of ``training-log.csv``."""
        if "loss" in logs:
            self.last_loss = logs["loss"]
            if self.is_world_process_zero():
                self._history.log_step(self.state.global_step, logs)
        super().log(logs, start_time)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with checkpoints.written(self, lambda: {"step": self.state.global_step}):
            super()._save_checkpoint(model, trial)


class Trained(NamedTuple):
    """What a run ended with.

    Attributes:
        model: The masked LM, as transformers knows it.
        steps: Steps in all.
        corpus_tokens: Tokens of the packed corpus.
        loss: Mean of the last logged steps, in nats.
        is_main: Whether this process is to save it.
    """

    model: Any
    steps: int
    corpus_tokens: int
    loss: float
    is_main: bool


def run(
    settings: PretrainSettings,
    place: Workplace,
    tokenizer: Any,
    arguments: Any,
    advance: Callable[[int], None],
) -> Trained:
    """Train from the last whole checkpoint, or from the start.

    Raises:
        ConfigError: a process would have no text of a batch.
        TrainingError: the loss is no number, or memory is short.
    """
    transformers.set_seed(settings.seed)
    rows = settings.batch_tokens // settings.max_tokens
    if rows < world_size():
        raise ConfigError(
            f"batch_tokens {settings.batch_tokens} of {settings.max_tokens} are {rows} texts for "
            f"{world_size()} processes. Raise batch_tokens, or start fewer."
        )
    blocks = read_blocks(place.blocks, len(tokenizer), settings.max_tokens)
    model = new_lm(settings, blocks, len(tokenizer), on_cpu=arguments.device.type == "cpu")
    batches = MaskedBatches(
        blocks,
        tokenizer,
        steps=settings.steps,
        rows=rows,
        masking_share=settings.masking_share,
        seed=settings.seed,
        rank=rank(),
        world_size=world_size(),
    )
    history = History(place.folder)
    trainer = MaskedTrainer(model, batches, arguments=arguments, history=history, advance=advance)
    last = checkpoints.last_whole(place.folder)
    if last is not None:
        checkpoints.require_undamaged(last)
    step = int(last.name.rpartition("-")[2]) if last else 0
    if trainer.is_world_process_zero():
        checkpoints.remove_unfinished(place.folder)
        history.truncate(step)
    advance(step)
    with out_of_memory_as(partial(_out_of_memory, settings, trainer)), quiet():
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    return Trained(
        plain_lm(model, with_prior=settings.logits == "probability"),
        trainer.state.global_step,
        blocks.size,
        trainer.last_loss,
        trainer.is_world_process_zero(),
    )


def _out_of_memory(settings: PretrainSettings, trainer: MaskedTrainer) -> TrainingError:
    return TrainingError(
        f"Memory ran out at step {trainer.state.global_step}. Lower batch_tokens "
        f"({settings.batch_tokens}) or width ({settings.width}), and start again with --replace."
    )


class _Steps(transformers.TrainerCallback):
    """Tells of every step."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance = advance

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._advance(1)
