"""Learn a vocabulary from texts, and make a tokenizer of it that stands alone.

A tokenizer that is saved must cut texts the same way wherever it is loaded, with nothing but the
``tokenizers`` library. For languages that write spaces that is WordPiece. Japanese has none: there
MeCab (fugashi with unidic-lite) cuts the texts to learn from, and what it cut becomes a unigram
model: every frequent word with its probability, rarer words in pieces, every character. Its best
path through a text (Viterbi) follows MeCab's cuts closely, without MeCab.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import transformers
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from sparse_ir.errors import MissingExtraError
from sparse_ir.models.batches import encodable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_ALPHABET_SHARE = 0.5  # of a Japanese vocabulary at most
_WORD_SHARE = 0.85  # of what the alphabet leaves; the rest is pieces of rarer words
_REPEATS = 64  # a rare word counts at most so often where pieces are learnt
_UNSEEN = 0.5  # occurrences of a character that is only met within words


def learn_tokenizer(texts: Iterable[str], *, language: str, size: int) -> Tokenizer:
    """Learn a tokenizer; it normalises by NFKC and lower-cases.

    Args:
        texts: What to learn from, read once.
        language: "ja", or "other" for any language that parts words by spaces.
        size: Tokens in all, special ones included; fewer where the texts have no more.

    Raises:
        MissingExtraError: Japanese, and fugashi or unidic-lite is not installed.
    """
    normalized = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    clean = (normalized.normalize_str(encodable(text)) for text in texts)
    learnt = _japanese(clean, size) if language == "ja" else _with_spaces(clean, size)
    learnt.normalizer = normalized
    learnt.add_special_tokens(list(SPECIAL))
    cls, sep = (learnt.token_to_id(name) for name in ("[CLS]", "[SEP]"))
    learnt.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)],
    )
    return learnt


def fast_tokenizer(path: Path, *, max_tokens: int) -> Any:
    """Make a transformers tokenizer of a file that holds a learnt one."""
    kind: Any = transformers.PreTrainedTokenizerFast  # untyped
    return kind(
        tokenizer_file=str(path),
        model_max_length=max_tokens,
        **{f"{name.strip('[]').lower()}_token": name for name in SPECIAL},
    )


def _with_spaces(texts: Iterator[str], size: int) -> Tokenizer:
    learnt = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - no password
    learnt.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    learnt.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        limit_alphabet=size // 2,
        show_progress=False,
    )
    learnt.train_from_iterator(texts, trainer)
    return learnt


def _japanese(texts: Iterator[str], size: int) -> Tokenizer:
    cut = japanese_words()
    words = Counter(word for text in texts for word in cut(text))
    learnt = Tokenizer(models.Unigram(unigrams(words, size), 1, False))
    # Words hold no punctuation; parting there keeps what Viterbi looks at short.
    learnt.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex(r"[\p{P}\p{S}]"), "isolated"),
        ]
    )
    learnt.decoder = decoders.Fuse()
    return learnt


def japanese_words() -> Callable[[str], list[str]]:
    """MeCab with unidic-lite: text -> its words.

    Raises:
        MissingExtraError: fugashi or unidic-lite is not installed.
    """
    try:
        import fugashi
    except ImportError:
        raise MissingExtraError("fugashi", extra="ja") from None
    try:
        import unidic_lite
    except ImportError:
        raise MissingExtraError("unidic-lite", extra="ja") from None
    folder = unidic_lite.DICDIR  # named, as fugashi would rather take another that is installed
    tagger: Any = fugashi.GenericTagger(f'-Owakati -d "{folder}" -r "{folder}/mecabrc"')

    def cut(text: str) -> list[str]:
        words: list[str] = tagger.parse(text).split()
        return words

    return cut


def unigrams(words: Mapping[str, int], size: int) -> list[tuple[str, float]]:
    """Choose the pieces of a unigram model by what the words of a corpus need.

    Half of the size at most is characters, the most frequent first. Of the room left, most goes to
    the most frequent words, and the rest to pieces of the other words (byte-pair encoding). A
    piece's probability is its share of all pieces once each rarer word is cut.

    Args:
        words: Word -> how often it occurs.
        size: Pieces in all; fewer where the words have no more.

    Returns:
        Piece and natural logarithm of its probability; the special tokens come first.
    """
    characters: Counter[str] = Counter()
    for word, count in words.items():
        characters.update(dict.fromkeys(word, count))
    room = size - len(SPECIAL)
    alphabet = [c for c, _ in characters.most_common(int(room * _ALPHABET_SHARE))]
    room -= len(alphabet)
    by_count = sorted(words, key=lambda word: -words[word])
    longer = [word for word in by_count if len(word) > 1 and word not in SPECIAL]
    frequent = set(longer[: int(room * _WORD_SHARE)])
    counts = Counter({word: words[word] for word in frequent})
    rare = {word: count for word, count in words.items() if word not in frequent}
    counts.update(_pieces(rare, alphabet, len(alphabet) + room - len(frequent)))
    chosen = dict.fromkeys([*longer[: len(frequent)], *alphabet])
    for piece in [*(p for p, _ in counts.most_common()), *longer]:
        if len(chosen) == size - len(SPECIAL):
            break
        chosen.setdefault(piece)
    weight = {piece: max(counts[piece] or words.get(piece, 0), _UNSEEN) for piece in chosen}
    total = sum(weight.values())
    found = sorted(chosen, key=lambda piece: -weight[piece])
    return [
        *((name, 0.0) for name in SPECIAL),
        *((piece, math.log(weight[piece] / total)) for piece in found),
    ]


def _pieces(words: Mapping[str, int], alphabet: list[str], size: int) -> Counter[str]:
    """How often each piece of these words occurs, once byte-pair encoding has learnt ``size``."""
    learnt = Tokenizer(models.BPE())
    learnt.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    lines = (" ".join([word] * min(count, _REPEATS)) for word, count in words.items())
    learnt.train_from_iterator(lines, trainer)
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for piece in learnt.encode(word).tokens:
            counts[piece] += count
    return counts
