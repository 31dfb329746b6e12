"""Tokens of the texts that come next, made while the model is busy with those before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.models.batches import tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from sparse_ir.models.batches import TokenizedTexts

WINDOW = 4096
"""Texts tokenised and sorted at a time."""


class _Window(NamedTuple):
    """What is being made; it keeps the texts, so that no others can be taken for them."""

    texts: Sequence[str]
    start: int
    prompt: str
    tokens: Future[TokenizedTexts]


class TokensAhead:
    """Tokenises windows of texts, one ahead in a thread of its own.

    A tokenizer cannot be used by two threads at once: whoever takes tokens waits for the thread.

    Attributes:
        window: Texts tokenised at a time.
    """

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        """Use a tokenizer; arguments as ``tokenize`` takes them.

        Args:
            tokenizer: A transformers tokenizer.
            max_length: Tokens kept of a text.
        """
        self._tokenizer, self._max_length, self.window = tokenizer, max_length, WINDOW
        self._thread: ThreadPoolExecutor | None = None
        self._next: _Window | None = None

    def begin(self, texts: Sequence[str], start: int, prompt: str) -> None:
        """Begin with the window of ``texts`` from ``start`` on, if there is one."""
        if start >= len(texts) or self._next is not None:
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokens")
        made = self._thread.submit(self._tokens, texts, start, prompt)
        self._next = _Window(texts, start, prompt, made)

    def take(self, texts: Sequence[str], start: int, prompt: str) -> TokenizedTexts:
        """The tokens of a window; the thread goes on with the one behind it."""
        found, self._next = self._next, None
        if found is not None:
            tokens = found.tokens.result()
            if found.texts is texts and (found.start, found.prompt) == (start, prompt):
                self.begin(texts, start + self.window, prompt)
                return tokens
        tokens = self._tokens(texts, start, prompt)
        self.begin(texts, start + self.window, prompt)
        return tokens

    def _tokens(self, texts: Sequence[str], start: int, prompt: str) -> TokenizedTexts:
        window = [prompt + text for text in texts[start : start + self.window]]
        return tokenize(self._tokenizer, window, self._max_length)
