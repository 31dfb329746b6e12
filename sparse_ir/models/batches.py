"""Texts to tokens, tokens to batches of like length under a token budget."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparse_ir.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

CHARACTERS_PER_TOKEN = 32
"""A text longer than this times the token limit is first cut here, see ``beginning``."""

_ABSURD_LENGTH = 100_000  # tokenizers without a limit of their own say 1e30
_USUAL_LENGTH = 512
_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert")
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
_log = logging.getLogger(__name__)


class TokenizedTexts(NamedTuple):
    """Token ids of n texts.

    Attributes:
        ids: One list a text, special tokens included, at most the maximal length.
        cut: Whether the text had more tokens than that.
    """

    ids: list[list[int]]
    cut: list[bool]


def maximal_length(tokenizer: Any, config: Any, *, chosen: int | None, saved: int | None) -> int:
    """Return how many tokens of a text are read, special ones included.

    Args:
        tokenizer: A transformers tokenizer.
        config: The model's config; its table of positions bounds everything else.
        chosen: What the user asks for.
        saved: What the model folder says, else the tokenizer decides; 512 where it names no
            sensible number.

    Raises:
        ConfigError: more is asked for than the model has positions.
    """
    positions = _positions(config)
    if chosen is not None:
        if not 1 <= chosen <= positions:
            raise ConfigError(f"max_length is {chosen}. This model reads 1 to {positions} tokens.")
        return chosen
    length = saved or int(tokenizer.model_max_length)
    return min(length if length < _ABSURD_LENGTH else _USUAL_LENGTH, positions)


def _positions(config: Any) -> int:
    positions = getattr(config, "max_position_embeddings", None) or 0
    if getattr(config, "model_type", "") in _OFFSET_POSITIONS:
        # Their tables begin behind the padding id: some rows can be no token's position.
        positions -= (getattr(config, "pad_token_id", None) or 0) + 1
    return positions if positions > 0 else _ABSURD_LENGTH


def tokenize(tokenizer: Any, texts: Sequence[str], max_length: int) -> TokenizedTexts:
    """Turn texts into token ids, cut at ``max_length`` tokens with the closing token kept.

    Args:
        tokenizer: A transformers tokenizer; the fast kind is much quicker.
        texts: n texts of any length; lone surrogates are read as U+FFFD.
        max_length: Tokens kept of a text, special ones included.
    """
    if not texts:
        return TokenizedTexts([], [])
    texts = [encodable(text) for text in texts]
    right = getattr(tokenizer, "truncation_side", "right") == "right"
    heads = [beginning(text, max_length) for text in texts] if right else texts
    found = _tokenize(tokenizer, heads, max_length)
    for i, (head, text) in enumerate(zip(heads, texts, strict=True)):
        if len(head) < len(text) and not found.cut[i]:  # few tokens in many characters
            whole = _tokenize(tokenizer, [text], max_length)
            found.ids[i], found.cut[i] = whole.ids[0], whole.cut[0]
    return found


def text_ids(texts: Sequence[str], ids: Sequence[str] | None) -> list[str]:
    """Give each text its id: those given, else "0", "1" and so on.

    Raises:
        ValueError: one string is given instead of texts, or not one id a text.
    """
    if isinstance(texts, str):
        raise ValueError("texts is one string. Give a list of texts.")
    if ids is None:
        return [str(i) for i in range(len(texts))]
    if len(ids) != len(texts):
        raise ValueError(f"{len(ids)} ids for {len(texts)} texts")
    return list(ids)


def warn_of_cut(cut: int, texts: int, max_length: int | None) -> None:
    """Log how many of the texts are longer than is read."""
    _log.warning(
        "%d of %d texts are longer than %d tokens; the rest of them is not read",
        cut,
        texts,
        max_length,
    )


def own_tokens(tokenizer: Any, text: str, max_length: int) -> list[int]:
    """The ids of a text's own tokens, special ones left out, each once, as they come."""
    special = set(tokenizer.all_special_ids)
    found = tokenize(tokenizer, [text], max_length).ids[0]
    return [i for i in dict.fromkeys(found) if i not in special]


def encodable(text: str) -> str:
    """Replace lone surrogates, which no tokenizer takes, by U+FFFD; the length stays."""
    if text.isascii():
        return text
    return _LONE_SURROGATES.sub("\ufffd", text)


def _tokenize(tokenizer: Any, texts: Sequence[str], max_length: int) -> TokenizedTexts:
    options = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
    if getattr(tokenizer, "is_fast", False):
        found = tokenizer(list(texts), truncation=True, max_length=max_length, **options)
        return TokenizedTexts(found["input_ids"], [bool(e.overflowing) for e in found.encodings])
    whole = tokenizer(list(texts), truncation=False, **options)["input_ids"]
    cut = [len(ids) > max_length for ids in whole]
    kept = tokenizer(list(texts), truncation=True, max_length=max_length, **options)["input_ids"]
    return TokenizedTexts(kept, cut)


def beginning(text: str, max_length: int) -> str:
    """Cut a very long text well behind its last token to be read, so that 1 MB costs no more.

    The result may be used only if it alone fills the token limit; the tokens within the limit
    are then those of the whole text, as tokenizers split at white space first and the cut is made
    at the last white space. A text without any is cut where the bound falls, far behind the
    limit: tokens of more than a few characters are rare there.
    """
    bound = CHARACTERS_PER_TOKEN * max_length
    if len(text) <= bound:
        return text
    head = text[:bound]
    words = head.rsplit(maxsplit=1)
    return words[0] if len(words) == 2 and len(words[0]) > bound // 2 else head


def vocabulary_terms(tokenizer: Any, size: int) -> tuple[str, ...]:
    """The token of every id below ``size``, distinct; an id without its own is "[id:N]"."""
    known = tokenizer.convert_ids_to_tokens(list(range(min(size, len(tokenizer)))))
    return distinct_terms([*known, *[None] * (size - len(known))])


def distinct_terms(tokens: Iterable[str | None]) -> tuple[str, ...]:
    """The token of each column; where it is missing, or another's already, "[id:N]"."""
    terms: dict[str, None] = {}  # a set that keeps the order
    for i, token in enumerate(tokens):
        terms[f"[id:{i}]" if token is None or token in terms else str(token)] = None
    return tuple(terms)


def named_tokens(tokenizer: Any, names: Sequence[str]) -> list[int]:
    """Look up ids of tokens; "special" and "unused" stand for all of their kind.

    Raises:
        ModelError: a name is no token.
    """
    ids: set[int] = set()
    vocabulary = tokenizer.get_vocab() if names else {}
    for name in names:
        if name == "special":
            ids.update(tokenizer.all_special_ids)
        elif name == "unused":
            ids.update(i for token, i in vocabulary.items() if token.startswith("[unused"))
        elif name in vocabulary:
            ids.add(vocabulary[name])
        else:
            raise ModelError(f"{name!r} is to be dropped, but it is no token of the model.")
    return sorted(ids)


def token_batches(
    lengths: Sequence[int], *, batch_tokens: int, batch_texts: int = 256
) -> Iterator[NDArray[Any]]:
    """Group texts of like length; the longest come first, so that memory peaks at once.

    Args:
        lengths: Tokens of each text.
        batch_tokens: Upper bound of texts times the longest text of a batch; one text that is
            longer than this makes a batch of its own.
        batch_texts: Upper bound of texts in a batch, as each also costs a vector of the size of
            the vocabulary.

    Yields:
        Positions in ``lengths``; every position occurs once.
    """
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, lengths[order[start]])
        size = min(max(1, batch_tokens // longest), batch_texts)
        yield order[start : start + size]
        start += size


def pad(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Stack token ids, padded on the right.

    Returns:
        Ids and mask (1 for tokens, 0 for padding), both int64 of shape (texts, longest).
    """
    longest = max((len(row) for row in rows), default=0)
    ids = np.full((len(rows), longest), pad_id, np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return ids, mask
