"""What the detector reads of a candidate: an embedding, words, and facts about the sentence and its message."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.embedding import Vectors
from pipeline.mine.candidates import Candidate
from pipeline.mine.labels.sample import DURABLE
from pipeline.mine.structure import TurnShape

Matrix = npt.NDArray[np.float32]
"""Rows of numbers."""
LAYERS_READ = 3
"""Layers of MiniLM whose mean the detector reads: further up, what a sentence speaks of outweighs how it speaks."""
BUCKETS = 1 << 14
"""Columns that the words and word pairs of the sentence are hashed into; as many again hold those around it."""
MOST_WORDS = 60
"""Words read of a text."""
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+|[^\w\s]")

_SENTENCE: dict[str, re.Pattern[str]] = {
    "says_i": re.compile(r"(?:i|i['’]?m|im|i['’]ve|ive)\b"),
    "says_my": re.compile(r"my\b"),
    "says_we": re.compile(r"(?:we|our)\b"),
    "is_a": re.compile(r"\b(?:i\s+am|i['’]?m|im)\s+(?:\w+\s+)?an?\s"),
    "as_a": re.compile(r"\b(?:as|being)\s+an?\s"),
    "has": re.compile(r"\b(?:i|we)\s+(?:\w+\s+)?have\s"),
    "likes": re.compile(r"\bi\s+(?:\w+\s+)?(?:love|like|enjoy|prefer|hate|dislike)\b"),
    "lives_or_works": re.compile(r"\b(?:i|we)\s+(?:\w+\s+)?(?:live|work|own|run|study|teach|speak|play)\b"),
    "my_thing": re.compile(r"\bmy\s+\w+"),
    "has_been": re.compile(r"\bi['’]?(?:ve|\s+have)\s+been\b"),
    "wants": re.compile(r"\bi\s+(?:\w+\s+)?(?:want|need|would\s+like|wish|hope|plan|['’]d\s+like)\b"),
    "wants_you": re.compile(r"\b(?:i\s+(?:want|need|would\s+like)|i['’]d\s+like)\s+you\b"),
    "will": re.compile(r"\b(?:i|we)(?:['’]ll|\s+will|\s+am\s+going)\b"),
    "progressive": re.compile(r"\b(?:i\s+am|i['’]?m|im|we\s+are)\s+(?:\w+\s+)?\w+ing\b"),
    "past": re.compile(r"\b(?:i|we)\s+(?:\w+ed|was|were|had|did|got|went|said|saw|made|took)\b"),
    "you": re.compile(r"\b(?:you|your)\b"),
    "asks": re.compile(r"\?"),
    "quoted": re.compile(r"^\s*[\"“'‘]|[\"”]\s*\W*$"),
    "list_item": re.compile(r"^\s*(?:[-*+•·>#]|\(?\d{1,2}[.)]|\(?[a-z][.)])\s"),
    "label": re.compile(r"^\s*[\w /]{2,30}:"),
    "digits": re.compile(r"\d"),
    "code_mark": re.compile(r"[{}<>=_\\|`;$]|\w\.\w+\("),
    "durable_word": re.compile(
        r"\b(?:always|never|usually|often|every\s+(?:day|week|morning|night)|years?|old|favou?rite|fan|since|currently)\b",
    ),
    "task_word": re.compile(
        r"\b(?:code|error|file|function|script|data|table|app|website|project|system|server|model|api|page|essay|article"
        r"|text|answer|question|list|example|version|output|input|prompt|following|below|above)\b",
    ),
    "sales_word": re.compile(
        r"\b(?:proven|passionate|committed|excited|leverag\w+|deliver\w*|team|opportunity|organization|successful\w*"
        r"|ensure|demonstrat\w+|responsib\w+|stakeholders|collaborat\w+|dedicated|strive)\b",
    ),
    "story_word": re.compile(
        r"\b(?:said|whispered|smiled|looked|walked|turned|felt|eyes|suddenly|door|voice|king|sword|dragon|magic)\b",
    ),
}
_LOWER_I = re.compile(r"\bi\b")
_DURABLE = re.compile(DURABLE.pattern, re.VERBOSE)
_SHAPE = ("length", "lines", "role_play", "writing_order", "fiction", "document", "tagged_lines", "quotes")
NAMES: tuple[str, ...] = (
    *_SENTENCE,
    "lower_i",
    "durable",
    "words",
    "position",
    "first",
    "share_of_turn",
    "turn_index",
    "before_ends_with_colon",
    *(f"turn_{name}" for name in _SHAPE),
    *(f"opening_{name}" for name in _SHAPE),
)
"""Names of the lexical and structural columns."""
DURABLE_VALUE = 4.0
"""A sentence that fits the pattern of durable facts is ten times as likely to be one: not to be scaled down."""
LEXICAL_SCALE = 0.25
"""Lexical columns are scaled down so that they weigh about as much as the embedding under one regularization."""


@dataclass(frozen=True)
class Features:
    """What the detector reads, one row a candidate."""

    sentence: Vectors
    """Embeddings of the sentences after LAYERS_READ layers, shape (n, 384)."""
    place: Matrix
    """Lexical and structural columns, scaled, shape (n, len(NAMES))."""
    words: tuple[tuple[int, ...], ...]
    """Columns of the words and word pairs of each sentence, 0 to BUCKETS - 1."""
    around: tuple[tuple[int, ...], ...]
    """Columns of those that begin the user's first message and its own, BUCKETS to 2 BUCKETS - 1; none for queries."""

    def take(self, rows: Sequence[int]) -> Features:
        """The features of some rows, in that order."""
        return Features(
            self.sentence[rows],
            self.place[rows],
            tuple(self.words[row] for row in rows),
            tuple(self.around[row] for row in rows),
        )


def features_of(candidates: Sequence[Candidate], sentence: Vectors) -> Features:
    """The features of `candidates`; `sentence` holds the embeddings of their sentences."""
    return Features(
        sentence=sentence,
        place=places(candidates),
        words=tuple(hashed_words(candidate.text) for candidate in candidates),
        around=tuple(words_around(candidate) for candidate in candidates),
    )


def places(candidates: Sequence[Candidate]) -> Matrix:
    """The lexical and structural columns of `candidates`, scaled, shape (n, len(NAMES))."""
    rows = [lexical(candidate) for candidate in candidates]
    return np.asarray(rows, dtype=np.float32).reshape(len(rows), len(NAMES)) * LEXICAL_SCALE


def hashed_words(text: str) -> tuple[int, ...]:
    """The columns of the words and word pairs of `text`, each once, sorted; every number counts as the same word."""
    return tuple(sorted({zlib.crc32(gram.encode()) % BUCKETS for gram in _grams(text)}))


def words_around(candidate: Candidate) -> tuple[int, ...]:
    """The columns of the words that begin the user's first message and the candidate's own.

    None for a query: a question shows by itself whether its answer depends on who asks.
    """
    return hashed_around(candidate.lead, candidate.head) if candidate.kind == "statement" else ()


def hashed_around(lead: str, head: str) -> tuple[int, ...]:
    """The columns of the words and word pairs of `lead` and of `head`, told apart, each once, sorted."""
    return tuple(sorted(_columns_around("lead", lead) | _columns_around("head", head)))


@lru_cache(maxsize=1024)
def _columns_around(place: str, text: str) -> frozenset[int]:
    begun = zlib.crc32(f"{place} ".encode())
    return frozenset([BUCKETS + zlib.crc32(gram.encode(), begun) % BUCKETS for gram in _grams(text)])


def _grams(text: str) -> set[str]:
    words = ["#" if word.isdigit() else word for word in _WORD.findall(text.lower().replace("’", "'"))[:MOST_WORDS]]
    framed = ["<s>", *words, "</s>"]
    return {*framed, *map(" ".join, pairwise(framed))}


def words_score(weights: Sequence[float], *halves: Sequence[int]) -> float:
    """What words add to a linear score: the weights of each half, summed and divided by the root of their number.

    A list of weights is several times as fast as an array: most sums have a few dozen terms.
    """
    return sum(sum(map(weights.__getitem__, half)) / math.sqrt(len(half)) for half in halves if half)


def word_matrix(features: Features) -> Any:
    """The words of `features` and those around them as a sparse matrix, shape (n, 2 BUCKETS); each half a unit row."""
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    rows = [(*words, *around) for words, around in zip(features.words, features.around, strict=True)]
    halves = [half for pair in zip(features.words, features.around, strict=True) for half in pair]
    values = np.repeat([max(1, len(half)) ** -0.5 for half in halves], [len(half) for half in halves])
    ends = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return csr_matrix((values, [column for row in rows for column in row], ends), shape=(len(rows), 2 * BUCKETS))


def lexical(candidate: Candidate) -> list[float]:
    """The lexical and structural columns of one candidate, each roughly between 0 and 2."""
    text = candidate.text
    lower = text.lower()
    flags = [1.0 if pattern.search(lower) else 0.0 for pattern in _SENTENCE.values()]
    flags.append(float(bool(_LOWER_I.search(text))))
    flags.append(DURABLE_VALUE * bool(_DURABLE.search(lower)))
    place = [
        math.log1p(len(text.split())) / 2,
        math.log1p(candidate.position) / 2,
        float(candidate.position == 0),
        len(text) / max(1, candidate.shape.length),
        math.log1p(candidate.turn) / 2,
        float(candidate.before.rstrip().endswith(":")),
    ]
    return [*flags, *place, *_shape(candidate.shape), *_shape(candidate.opening)]


@lru_cache(maxsize=1024)
def _shape(shape: TurnShape) -> tuple[float, ...]:
    return (
        math.log1p(shape.length) / 5,
        math.log1p(shape.lines) / 2,
        float(shape.role_play),
        float(shape.writing_order),
        float(shape.fiction),
        float(shape.document),
        math.log1p(shape.tagged_lines) / 2,
        math.log1p(shape.quotes) / 2,
    )
