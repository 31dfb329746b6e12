"""A tokenizer.json read by the ``tokenizers`` library, as the rest of ``models/`` asks for tokens.

It stands in for a transformers tokenizer where that is not installed, and answers the few questions
that ``batches.py`` and ``origins.py`` put to one. Two copies are kept, one that cuts and one that
does not, so that threads may share it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparse_ir.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tokenizers import Encoding, Tokenizer


class Tokens(dict[str, Any]):
    """What a call gives: "input_ids" and "offset_mapping", as transformers names them.

    Attributes:
        encodings: One a text.
    """

    def __init__(self, encodings: list[Encoding], *, single: bool) -> None:
        self.encodings = encodings
        ids = [encoding.ids for encoding in encodings]
        offsets = [encoding.offsets for encoding in encodings]
        super().__init__(
            input_ids=ids[0] if single else ids, offset_mapping=offsets[0] if single else offsets
        )

    def word_ids(self) -> list[int | None]:
        """The number of each token's word in the first text; None for what is no part of it."""
        return list(self.encodings[0].word_ids)


class FastTokenizer:
    """The tokens of a folder's tokenizer.json.

    Attributes:
        truncation_side: "right" or "left": where a text that is too long is cut.
        pad_token_id: Stands where a batch has nothing.
        all_special_ids: Of tokens that are no part of a text.
    """

    is_fast = True

    def __init__(
        self,
        folder: Path,
        *,
        max_length: int,
        truncation_side: str = "right",
        pad_token_id: int = 0,
    ) -> None:
        """Load it.

        Raises:
            ModelError: there is none, or it is damaged.
        """
        self._cutting, self._whole = _load(folder), _load(folder)
        self.truncation_side = truncation_side
        self.pad_token_id = pad_token_id
        self._cutting.enable_truncation(max_length, direction=truncation_side)
        added = self._whole.get_added_tokens_decoder()
        self.all_special_ids = sorted(i for i, token in added.items() if token.special)

    def __len__(self) -> int:
        """How many tokens it knows."""
        return int(self._whole.get_vocab_size(with_added_tokens=True))

    def __call__(
        self,
        texts: str | Sequence[str],
        *,
        truncation: bool = False,
        **_: Any,
    ) -> Tokens:
        """Find the tokens of one text or several, special ones included."""
        single = isinstance(texts, str)
        used = self._cutting if truncation else self._whole
        return Tokens(used.encode_batch([texts] if single else list(texts)), single=single)

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str | None]:
        """The token of each id; None for an id that has none."""
        return [self._whole.id_to_token(i) for i in ids]


def _load(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelError(f"{folder} holds no tokenizer.json. Export the model again.")
    try:
        tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing more special
        raise ModelError(f"{path}: the tokenizer cannot be loaded: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
