"""The Hugging Face Trainer around a sparse model: its loop, devices, precision and checkpoints."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from accelerate.utils import broadcast_object_list
from safetensors.torch import load_file, save_file

from sparse_ir.config import nearest
from sparse_ir.errors import ConfigError, ModelError, TrainingError
from sparse_ir.training import checkpoints
from sparse_ir.training.gather import gather, world_size
from sparse_ir.training.grad_cache import cached_step
from sparse_ir.training.objective import Lambdas, Objective, Weights, anchor, objective

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from sparse_ir.training.callbacks import Conductor
    from sparse_ir.training.model import SpladeTrainee
    from sparse_ir.training.sampling import Batches
    from sparse_ir.training.settings import TrainSettings

WEIGHTS_NAME = "model.safetensors"


class SpladeTrainer(transformers.Trainer):
    """Trains a ``SpladeTrainee``.

    Attributes:
        control_lambdas: What sets the weights of the regularisers.
        means: Running means of what a step was made of, since the last line of the log.
    """

    def __init__(
        self,
        trainee: SpladeTrainee,
        settings: TrainSettings,
        batches: Batches,
        *,
        arguments: Any,
        control_lambdas: Any,
        anchor_targets: Tensor | None,
        measure: Callable[[], dict[str, float]] | None,
        conductor: Conductor,
        content: Mapping[str, str],
    ) -> None:
        """Prepare; see ``train.py``."""
        self.trainee, self.settings, self.batches = trainee, settings, batches
        self.conductor = conductor
        self.control_lambdas, self._anchor_targets = control_lambdas, anchor_targets
        self._measure, self._content = measure, content
        self.means: dict[str, list[float]] = {}
        self._terms: list[tuple[float, float]] = []
        conductor.trainer = self
        super().__init__(
            model=trainee, args=arguments, train_dataset=batches, callbacks=[conductor]
        )
        self.remove_callback(transformers.PrinterCallback)  # a library prints nothing

    def measure(self) -> dict[str, float]:
        """The validation metrics of this moment; the first device measures for all."""
        if self._measure is None:
            return {}
        if world_size() == 1:
            return self._measure()
        found = [self._measure() if self.is_world_process_zero() else None]
        broadcast_object_list(found)
        return found[0] or {}

    def take_terms(self) -> tuple[float, float]:
        """Mean terms of queries and documents over the batches since the last step."""
        taken, self._terms = self._terms, []
        queries, documents = zip(*taken, strict=True)
        return sum(queries) / len(queries), sum(documents) / len(documents)

    def get_train_dataloader(self) -> Any:
        """One item of ``Batches`` is a whole step for this device; accelerate must not share it."""
        return torch.utils.data.DataLoader(
            self.batches, batch_size=1, shuffle=False, collate_fn=lambda items: items[0]
        )

    def create_optimizer(self, model: Any = None) -> Any:  # noqa: ARG002
        """AdamW with learning rates of their own for head and table, no decay of vectors."""
        if self.optimizer is None:
            groups = parameter_groups(self.model, self.settings)
            fused = self.args.device.type in ("cpu", "cuda")
            self.optimizer = torch.optim.AdamW(groups, fused=fused)
        return self.optimizer

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """One batch forward and backward, in chunks where the batch is larger than the memory."""
        if not self.settings.batch.chunk_texts:
            loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
            return loss
        model.train()
        inputs = self._prepare_inputs(inputs)
        return cached_step(self, model, inputs)

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,  # noqa: ARG002 - the Trainer's own signature
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Tensor:
        """The objective of the global batch, times the number of devices; see ``gather.py``."""
        mine = Weights(*model(inputs["queries"], inputs["documents"]))
        loss = self.global_objective(mine, inputs) + self.anchor_loss(mine, inputs)
        return loss * world_size()

    def global_objective(self, mine: Weights, inputs: Mapping[str, Any]) -> Tensor:
        """Gather the weights of all devices, and take note of what the loss is made of.

        Raises:
            TrainingError: the loss is not a finite number.
        """
        sizes = inputs["sizes"].tolist()
        weights = Weights(
            None if mine.queries is None else gather(mine.queries, sizes[0]),
            None if mine.table is None else gather(mine.table, sizes[0]),
            gather(mine.documents, sizes[1]),
        )
        step = self.state.global_step
        lambdas = Lambdas(*self.control_lambdas.lambdas(step))
        found = objective(weights, inputs, lambdas, self.settings)
        if not torch.isfinite(found.loss):
            raise TrainingError(
                f"The loss is {float(found.loss)} at step {step}. {self.last_good()} Go on from "
                "there (--resume) with a lower optimizer.learning_rate, or precision bf16 or fp32 "
                "instead of fp16."
            )
        self._note(found, lambdas)
        return found.loss

    def anchor_loss(self, mine: Weights, inputs: Mapping[str, Any]) -> Tensor | float:
        """This device's part of the anchor of the global batch."""
        chosen, step = self.settings.anchor, self.state.global_step
        falling = max(0.0, 1.0 - step / max(1, chosen.steps))
        weight = chosen.rest + (chosen.weight - chosen.rest) * falling
        if self._anchor_targets is None or weight <= 0:
            return 0.0
        targets = self._anchor_targets.to(mine.documents.device)
        sides = [(mine.documents, inputs["documents"])]
        if mine.queries is not None:
            sides.append((mine.queries, inputs["queries"]))
        sums = [anchor(weights, groups, targets) for weights, groups in sides]
        counts = torch.tensor([count for _, count in sums], device=targets.device).float()
        if world_size() > 1:
            torch.distributed.all_reduce(counts)
        loss = torch.stack([total for total, _ in sums]) / counts.clamp_min(1.0)
        self._add("anchor", float(loss.detach().sum()))
        return weight * loss.sum()

    def last_good(self) -> str:
        """A sentence about the last checkpoint."""
        return checkpoints.last_good(Path(str(self.args.output_dir)))

    def _note(self, found: Objective, lambdas: Lambdas) -> None:
        self._terms.append((found.query_terms, found.document_terms))
        self._add("total_loss", float(found.loss.detach()))
        for name, value in found.parts.items():
            self._add(name, value)
        self._add("terms_query", found.query_terms)
        self._add("terms_document", found.document_terms)
        self._add("lambda_query", lambdas.query)
        self._add("lambda_document", lambdas.document)

    def _add(self, name: str, value: float) -> None:
        self.means.setdefault(name, []).append(value)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what the steps since the last line were made of."""
        if "loss" in logs and self.means:
            means = {name: sum(values) / len(values) for name, values in self.means.items()}
            logs.update(means)
            logs["loss"] = logs.pop("total_loss", logs["loss"])
            self.means.clear()
            if self.is_world_process_zero():
                self.conductor.record(self.state.global_step, logs)
        super().log(logs, start_time)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Measure the model; ask for a checkpoint where it is the best so far."""
        measured = self.measure()
        metrics = {f"eval_{name}": value for name, value in measured.items()}
        self.log(dict(metrics))  # to which it adds the epoch
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:  # noqa: ARG002
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        tensors = trainable_tensors(self.trainee)
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise TrainingError(
                    f"The weights of {name} are no longer finite at step "
                    f"{self.state.global_step}. {self.last_good()} Go on from there (--resume) "
                    "with a lower optimizer.learning_rate."
                )
        save_file(tensors, folder / WEIGHTS_NAME)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with checkpoints.written(self, self._checkpoint_state):
            super()._save_checkpoint(model, trial)

    def _checkpoint_state(self) -> dict[str, Any]:
        return {
            "settings": checkpoints.fixed_settings(self.settings),
            "content": dict(self._content),
            "lambdas": self.control_lambdas.state_dict(),
            "conductor": self.conductor.state_dict(),
        }

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load both; rates and decay are those of the settings, which a resumed run may change."""
        optimizer: Any = self.optimizer
        chosen = [(group["initial_lr"], group["weight_decay"]) for group in optimizer.param_groups]
        super()._load_optimizer_and_scheduler(checkpoint)
        scheduler: Any = self.lr_scheduler
        if checkpoint is None or not hasattr(scheduler, "lr_lambdas"):
            return
        shares = [share(scheduler.last_epoch) for share in scheduler.lr_lambdas]
        scheduler.base_lrs = [peak for peak, _ in chosen]
        scheduler._last_lr = [peak * s for (peak, _), s in zip(chosen, shares, strict=True)]
        groups = zip(optimizer.param_groups, chosen, scheduler._last_lr, strict=True)
        for group, (peak, decay), rate in groups:
            group.update(initial_lr=peak, lr=rate, weight_decay=decay)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ARG002
        load_weights(self.trainee, Path(resume_from_checkpoint))


def trainable_tensors(model: torch.nn.Module) -> dict[str, Tensor]:
    """Every parameter once, also where two modules share it; contiguous, on the CPU."""
    return {n: p.detach().cpu().contiguous() for n, p in model.named_parameters()}


@torch.no_grad()
def load_weights(model: torch.nn.Module, checkpoint: Path) -> None:
    """Put a checkpoint's weights into the model.

    Raises:
        ModelError: the checkpoint is of another architecture.
    """
    stored = load_file(checkpoint / WEIGHTS_NAME)
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        if name not in stored or stored[name].shape != parameter.shape:
            shape = list(stored[name].shape) if name in stored else "absent"
            raise ModelError(
                f"{checkpoint} is of another architecture: {name} is {shape} there and "
                f"{list(parameter.shape)} here. Use the model settings it was made with, or "
                "--replace to start again."
            )
    extra = sorted(stored.keys() - parameters.keys())
    if extra:
        raise ModelError(
            f"{checkpoint} is of another architecture: it holds {extra[0]}, this model does not. "
            "Use the model settings it was made with, or --replace to start again."
        )
    for name, parameter in parameters.items():
        parameter.copy_(stored[name])


def parameter_groups(model: Any, settings: TrainSettings) -> list[dict[str, Any]]:
    """Split the parameters that are trained by learning rate and decay.

    The masked-LM head is what lies outside of the base model; its tied embeddings belong to the
    body.
    """
    chosen = settings.optimizer
    rates = {
        "body": chosen.learning_rate,
        "head": chosen.learning_rate
        if chosen.head_learning_rate is None
        else chosen.head_learning_rate,
        "table": chosen.table_learning_rate,
    }
    groups: dict[tuple[str, bool], list[Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kind = _kind(model, name)
            groups.setdefault((kind, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": rates[kind],
            "weight_decay": chosen.weight_decay if decays and kind != "table" else 0.0,
        }
        for (kind, decays), parameters in groups.items()
    ]


def freeze(model: Any, patterns: Sequence[str]) -> None:
    """Leave parameters as they are.

    Raises:
        ConfigError: a pattern of what is to be frozen fits no parameter, or nothing is left.
    """
    parameters = {name.partition(".lm.")[2] or name: p for name, p in model.named_parameters()}
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in parameters):
            raise ConfigError(
                f"model.freeze: {pattern} fits no parameter. Names are such as "
                f"{next(iter(parameters))}.{nearest(pattern, parameters)}"
            )
    for name, parameter in model.named_parameters():
        short = name.partition(".lm.")[2] or name
        if any(fnmatch(short, pattern) for pattern in patterns):
            parameter.requires_grad_(requires_grad=False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError("model.freeze leaves nothing to train. Freeze less.")


def _kind(model: Any, name: str) -> str:
    if name.startswith("table."):
        return "table"
    side, _, inner = name.partition(".")
    kind: str = getattr(model, side).part(inner)
    return kind
