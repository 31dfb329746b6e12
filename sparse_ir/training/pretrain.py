"""The front door of pretraining: a corpus in, a tokenizer and a small masked LM out.

For languages and fields that have no model to start from. The result is a plain transformers
folder, which ``train`` takes as its backbone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.data.corpora import read_documents
from sparse_ir.data.files import STANDARD_INPUT
from sparse_ir.errors import ConfigError
from sparse_ir.training.pretraining_folder import Workplace
from sparse_ir.training.work_folder import training_alone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LANGUAGES = ("ja", "other")
LOGITS = ("lift", "probability")

_VOCABULARY_TEXTS = 200_000  # documents a vocabulary is learnt from; more hardly change it


@dataclass(frozen=True)
class PretrainSettings:
    """A tokenizer and a small masked LM, made of a corpus alone.

    Attributes:
        corpus: Any source of documents, read twice.
        out: Folder of the finished model; what is under way lies beside it, in ``OUT-training``.
        language: "ja" (needs the [ja] extra), or "other": any language that parts words by spaces.
        vocabulary: Tokens of the tokenizer, special ones included; fewer where the corpus has no
            more.
        width: Of the hidden states.
        layers: Transformer layers.
        heads: Attention heads of a layer.
        max_tokens: The longest text that the model will read, in tokens.
        steps: Optimiser steps.
        batch_tokens: Tokens of a step, over all devices.
        learning_rate: At its peak; it rises over a twentieth of the steps and falls linearly to 0.
        masking_share: Share of tokens to be predicted.
        dropout: 0 suits runs that see a text a few times only.
        logits: What the saved model's logits say of a term: "lift", how much likelier than usual
            its context makes it, which is what weighs terms; "probability", how likely it is, as
            masked LMs usually do.
        seed: Decides weights, order and masks.
        save_every: Steps between two checkpoints.
        log_every: Steps between two lines of ``training-log.csv``.
        resume: Go on with a stopped run, if there is one.
        replace: Throw away what the folders hold and start again; with ``resume``, only if it was
            made with other settings.
        device: "auto" or "cpu".
        precision: "fp32", "bf16" or "fp16"; weights stay float32.
        limit: Read only so many documents.
    """

    corpus: str
    out: str
    language: str = "other"
    vocabulary: int = 12_000
    width: int = 192
    layers: int = 4
    heads: int = 4
    max_tokens: int = 256
    steps: int = 2_000
    batch_tokens: int = 4_096
    learning_rate: float = 2e-3
    masking_share: float = 0.2
    dropout: float = 0.0
    logits: str = "lift"
    seed: int = 1
    save_every: int = 200
    log_every: int = 20
    resume: bool = False
    replace: bool = False
    device: str = "auto"
    precision: str = "fp32"
    limit: int | None = None

    def __post_init__(self) -> None:
        for name, known in (
            ("language", LANGUAGES),
            ("logits", LOGITS),
            ("device", ("auto", "cpu")),
            ("precision", ("fp32", "bf16", "fp16")),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is {getattr(self, name)!r}. Use {', '.join(known)}.")
        for name, least in (
            ("vocabulary", 32), ("width", 1), ("layers", 1), ("heads", 1), ("max_tokens", 4),
            ("steps", 1), ("batch_tokens", self.max_tokens), ("save_every", 1), ("log_every", 1),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}. Use at least {least}.")
        if self.width % (2 * self.heads):
            raise ConfigError(
                f"width ({self.width}) must be a multiple of twice the heads ({self.heads})."
            )
        if not 0 < self.masking_share < 1:
            raise ConfigError(f"masking_share is {self.masking_share}. Use a share such as 0.2.")
        if self.corpus == STANDARD_INPUT:
            raise ConfigError("corpus is standard input, but it is read twice. Give a file.")


class PretrainReport(NamedTuple):
    """What a run made.

    Attributes:
        out: The model folder.
        steps: Steps in all, those before a resume counted in.
        vocabulary: Tokens of the tokenizer.
        corpus_tokens: Tokens of the corpus, as it was packed.
        loss: Mean cross-entropy of the last logged steps, in nats.
        seconds: What this run took, without what came before a resume.
    """

    out: str
    steps: int
    vocabulary: int
    corpus_tokens: int
    loss: float
    seconds: float


def pretrain(
    settings: PretrainSettings,
    *,
    advance: Callable[[int], None] = lambda n: None,
    say: Callable[[str], None] = lambda line: None,
) -> PretrainReport:
    """Make a tokenizer and a small masked LM of a corpus.

    Under torchrun every process calls this with the same settings; they share each batch.

    Args:
        settings: Of what, how large, how long.
        advance: Called with the number of steps finished, as they are.
        say: Called with lines about what is being prepared.

    Raises:
        ConfigError: something lies in the way, or a resumed run was started with other settings.
        MissingExtraError: Japanese, without the [ja] extra.
        InputError: the corpus cannot be read, or is too small.
        TrainingError: the loss is no number, or memory is short; the last checkpoint is kept.
        StorageError: a file cannot be written.
    """
    with training_alone(Path(settings.out)):
        return _pretrain(settings, advance, say)


def _pretrain(
    settings: PretrainSettings, advance: Callable[[int], None], say: Callable[[str], None]
) -> PretrainReport:
    from sparse_ir.training.gather import first_alone
    from sparse_ir.training.pretrainer import pretraining_arguments, run
    from sparse_ir.training.small_lm import save
    from sparse_ir.training.vocabulary import japanese_words

    started = time.monotonic()
    if settings.language == "ja":
        japanese_words()  # complains now, not after an hour
    out = Path(settings.out)
    place = Workplace(out)
    arguments = pretraining_arguments(settings, place.folder)  # the processes know one another now
    first_alone(lambda: place.claim(settings))
    with arguments.main_process_first(local=False):
        tokenizer = _prepare(settings, place, say)
    trained = run(settings, place, tokenizer, arguments, advance)
    if trained.is_main:
        save(trained.model, tokenizer, out)
        place.clear()
    return PretrainReport(
        str(out),
        trained.steps,
        len(tokenizer),
        trained.corpus_tokens,
        trained.loss,
        time.monotonic() - started,
    )


def _prepare(settings: PretrainSettings, place: Workplace, say: Callable[[str], None]) -> Any:
    """Learn the tokenizer and pack the corpus, each unless a stopped run has done it."""
    from sparse_ir.training.masking import write_blocks
    from sparse_ir.training.vocabulary import fast_tokenizer, learn_tokenizer

    if not place.tokenizer.is_file():
        say(f"learning a vocabulary of {settings.vocabulary:,} tokens from {settings.corpus}")
        learnt = learn_tokenizer(
            _texts(settings, most=_VOCABULARY_TEXTS),
            language=settings.language,
            size=settings.vocabulary,
        )
        place.keep_tokenizer(learnt.to_str(pretty=True))
    tokenizer = fast_tokenizer(place.tokenizer, max_tokens=settings.max_tokens)
    if not place.blocks.is_file():
        blocks = write_blocks(place.blocks, _texts(settings), tokenizer, settings.max_tokens)
        say(f"{blocks:,} blocks of {settings.max_tokens} tokens")
    return tokenizer


def _texts(settings: PretrainSettings, *, most: int | None = None) -> Iterator[str]:
    bounds = [n for n in (settings.limit, most) if n is not None]
    limit = min(bounds) if bounds else None
    return (document.content for document in read_documents(settings.corpus, limit=limit))
