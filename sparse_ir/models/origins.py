"""Which word of a text each token belongs to, so that a weight can name its origin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.models.batches import beginning, encodable

if TYPE_CHECKING:
    from collections.abc import Sequence


class Word(NamedTuple):
    """A word of the text as written; start and end are -1 for what is no part of the text."""

    text: str
    start: int
    end: int


def token_words(tokenizer: Any, text: str, ids: Sequence[int], *, prompt: str = "") -> list[Word]:
    """Find the word behind each token.

    Pieces of a word count as the whole word, in the characters that were written, even where
    the token limit falls between them.

    Args:
        tokenizer: The transformers tokenizer that made the ids; the slow kind knows no offsets.
        text: What the user wrote, without the prompt.
        ids: The token ids that were weighed, n of them.
        prompt: What was put in front of the text.

    Returns:
        n words.
    """
    tokens = tokenizer.convert_ids_to_tokens(list(ids))
    if not getattr(tokenizer, "is_fast", False):
        return [Word(token, -1, -1) for token in tokens]
    options = {"truncation": False, "verbose": False, "return_offsets_mapping": True}
    read = encodable(prompt + text)
    found = tokenizer(beginning(read, len(ids)), **options)
    if len(found["input_ids"]) < len(ids):
        found = tokenizer(read, **options)
    return words_of(
        tokens, ids, found["input_ids"], found.word_ids(), found["offset_mapping"], text, prompt
    )


def words_of(
    tokens: Sequence[str],
    ids: Sequence[int],
    whole: Sequence[int],
    word_ids: Sequence[int | None],
    offsets: Sequence[tuple[int, int]],
    text: str,
    prompt: str,
) -> list[Word]:
    """Find the word behind each of the first tokens of a text.

    Args:
        tokens: What stands for a token that is no part of the text, n of them.
        ids: The token ids that were weighed, n of them.
        whole: The token ids of the text before it was cut, m of them.
        word_ids: The number of each one's word, m; None for what is no part of the text.
        offsets: Where each begins and ends in prompt and text, m.
        text: What the user wrote.
        prompt: What was put in front of it.

    Returns:
        n words.
    """
    spans = _spans(word_ids, offsets)
    words = []
    for i, token in enumerate(tokens):  # a cut text ends with a token that the whole has not there
        word_id = word_ids[i] if i < len(whole) and whole[i] == ids[i] else None
        if word_id is None:
            words.append(Word(token, -1, -1))
        else:
            words.append(_word(spans[word_id], text, prompt))
    return words


def _spans(
    word_ids: Sequence[int | None], offsets: Sequence[tuple[int, int]]
) -> dict[int, tuple[int, int]]:
    spans: dict[int, tuple[int, int]] = {}
    for word_id, (start, end) in zip(word_ids, offsets, strict=True):
        if word_id is not None:
            known = spans.get(word_id, (start, end))
            spans[word_id] = (min(known[0], start), max(known[1], end))
    return spans


def _word(span: tuple[int, int], text: str, prompt: str) -> Word:
    start, end = span
    written = (prompt + text)[start:end]
    start += len(written) - len(written.lstrip())  # byte-level tokens carry the space before
    written = written.strip()
    if start < len(prompt):
        return Word(written, -1, -1)
    return Word(written, start - len(prompt), start - len(prompt) + len(written))
