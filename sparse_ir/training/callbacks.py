"""What happens between the steps: lambdas, validation, the best checkpoint, an early end."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import transformers

from sparse_ir.models.memory import return_free_memory
from sparse_ir.training import checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sparse_ir.training.history import History
    from sparse_ir.training.settings import TrainSettings


class Conductor(transformers.TrainerCallback):
    """Follows a run.

    Attributes:
        start: Metrics before the first step.
        best_step: The step with the best metric, 0 where nothing was measured.
        best: Metrics at that step.
        last: The latest metrics.
    """

    def __init__(
        self,
        settings: TrainSettings,
        history: History,
        folder: Path,
        advance: Callable[[int], None],
    ) -> None:
        """Prepare to follow a run whose checkpoints and logs lie in a folder."""
        self._settings, self._history, self._folder = settings, history, folder
        self._advance = advance
        self.start: dict[str, float] = {}
        self.best: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self.best_step = 0
        self._worse = 0
        self.trainer: Any = None

    def measure_start(self, trainer: Any) -> None:
        """Measure the model before it is trained."""
        self.start = trainer.measure()
        if trainer.is_world_process_zero():
            self._history.log_validation(0, self.start)

    def go_on(self, trainer: Any, checkpoint: Path) -> None:
        """Take up what a checkpoint knows."""
        state = checkpoints.read_state(checkpoint)
        kept = state["conductor"]
        self.start, self.best, self.last = kept["start"], kept["best"], kept["last"]
        self.best_step, self._worse = kept["best_step"], kept["worse"]
        other = kept["validation"] != self._measured_by()
        # It makes room for a better one before that is whole: a run killed then has neither.
        gone = self.best_step and self.best_checkpoint() is None
        if other or gone:
            self.best, self.best_step, self._worse = {}, 0, 0
        trainer.control_lambdas.load_state_dict(state["lambdas"])
        step = int(checkpoint.name.rpartition("-")[2])
        trainer.state.global_step = step  # also where there is no step left to take
        self._advance(step)
        if trainer.is_world_process_zero():
            self._history.truncate(step)

    @property
    def stopped(self) -> bool:
        """Whether the validations have got worse for as long as the settings bear with."""
        validation = self._settings.validation
        return bool(validation and validation.patience and self._worse >= validation.patience)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON values."""
        return {
            "start": self.start,
            "best": self.best,
            "last": self.last,
            "best_step": self.best_step,
            "worse": self._worse,
            "validation": self._measured_by(),
        }

    def _measured_by(self) -> dict[str, Any] | None:
        """What makes the metrics of two validations comparable."""
        validation = self._settings.validation
        if validation is None:
            return None
        return {n: v for n, v in asdict(validation).items() if n not in ("every", "patience")}

    def _path(self, step: int) -> Path:
        return self._folder / f"checkpoint-{step}"

    def record(self, step: int, logs: Mapping[str, float]) -> None:
        """Write a line of the log."""
        self._history.log_step(step, logs)
        if self._settings.validation is None:
            self.last = {name: logs[name] for name in ("terms_query", "terms_document")}

    def best_checkpoint(self) -> Path | None:
        """The checkpoint with the best metric, where there was a validation."""
        path = self._path(self.best_step)
        return path if self.best_step and path.is_dir() else None

    def final_metrics(self) -> dict[str, float]:
        """Metrics of the weights that are kept; without a validation the last mean terms alone."""
        return dict(self.best or self.last)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        """Say which checkpoint must stay: what a resumed run stored may name another folder."""
        state.best_model_checkpoint = str(self._path(self.best_step)) if self.best_step else None
        return control

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Move the lambdas; see whether a validation is due."""
        query, document = self.trainer.take_terms()
        self.trainer.control_lambdas.observe(state.global_step - 1, query, document)
        self._advance(1)
        if args.device.type == "cpu":  # what glibc keeps grows to a tenth of a step's memory
            return_free_memory()
        validation = self._settings.validation
        last = state.global_step >= state.max_steps
        if validation is not None and (state.global_step % validation.every == 0 or last):
            control.should_evaluate = True
        if last:
            control.should_save = control.should_log = True
        return control

    def on_evaluate(
        self,
        args: Any,  # noqa: ARG002
        state: Any,
        control: Any,
        metrics: Mapping[str, float] | None = None,
        **_: Any,
    ) -> Any:
        """Keep the best; end a run that gets no better."""
        validation = self._settings.validation
        if validation is None or metrics is None:
            return control
        self.last = {name.removeprefix("eval_"): value for name, value in metrics.items()}
        if state.is_world_process_zero:
            self._history.log_validation(state.global_step, self.last)
        if self.last[validation.metric] > self.best.get(validation.metric, -1.0):
            self.best, self.best_step, self._worse = self.last, state.global_step, 0
            state.best_model_checkpoint = str(self._path(self.best_step))
            control.should_save = True
        else:
            self._worse += 1
            if self.stopped:
                control.should_training_stop = True
                control.should_save = True
        return control
