"""Seeded samples of sentences to label by reading; prints to the terminal only, so no corpus text reaches a file.

`python -m pipeline.mine.labels.sample statements likely --start 0 --count 120` shows the same sentences every time.
"""

from __future__ import annotations

import csv
import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from pipeline.core.command import friendly
from pipeline.core.errors import unknown_name
from pipeline.mine.sentences import Span, sentences
from pipeline.sources.base import SourceSettings
from pipeline.sources.registry import open_source

SEED = 20250101
"""Seed of the draw."""
LONGEST = 600
"""Sentences with more characters are outside the population: nobody states a preference in 600 characters."""
FEWEST_WORDS = 2
"""Sentences with fewer words are outside the population."""
Key = tuple[str, int, int]
"""Conversation, turn and first character of a sentence."""
LABELLED_HALF = frozenset("01234567")
"""First hex digits of sha256(conversation) that may be read for labels; the other half is for testing only."""

FIRST_PERSON = re.compile(r"\b(?:i|i['’]?(?:m|ve|d|ll)|my|me|mine|myself|we|our|us|im|ive)\b", re.IGNORECASE)
DURABLE = re.compile(
    r"""\b(?:
      (?<!\bdo\s)(?<!\bcan\s)(?<!\bif\s)(?<!\bam\s)(?<!\bthat\s)(?<!\bwhen\s)(?<!\bshould\s)(?<!\bcould\s)
        (?<!\bwould\s)(?<!\bdid\s)(?<!\bwhat\s)
      (?:
        (?:i\s+am|i['’]m|im)\s+(?:also\s+|currently\s+|just\s+|still\s+|only\s+|really\s+|already\s+|not\s+
          |now\s+|very\s+|mostly\s+)*
          (?:an?|the\s+(?:founder|owner|ceo|head|author|director|manager|only|oldest|youngest)|from|in\s+my
            |in\s+the\s+process|allergic|vegan|vegetarian|married|single|divorced|retired|pregnant|into
              |interested|fluent
            |learning|studying|working\s+(?:as|at|in|for|on|towards?)|living|based|\d+|planning|training
              |looking\s+to
            |new\s+to|passionate|good\s+at|bad\s+at|fond|afraid|scared|diagnosed|self|writing|building
              |developing|running
            |starting|creating|making|teaching|preparing|responsible|familiar|experienced|applying)\b
      | i\s+(?:also\s+|really\s+|usually\s+|often\s+|always\s+|never\s+|currently\s+|mostly\s+|generally\s+
        |still\s+|just\s+|mainly\s+|absolutely\s+|personally\s+|do\s+|have\s+always\s+)*
          (?:live|lived|work(?:ed)?\s+(?:as|at|in|for|with|from|on)|love|enjoy|prefer|hate|dislike|own|study
            |studied|speak|play|teach|grew\s+up|moved|run\s+an?|write|collect|drive|eat|drink|suffer|struggle
            |can['’]?t\s+stand|don['’]?t\s+(?:like|eat|drink|speak|own|drive|know|have\s+(?:an?|any|much|time
              |experience))|was\s+(?:born|diagnosed|raised)|graduated|majored|used\s+to|believe\s+in
            |like\s+(?!the\s+following|your|this|that|it|the|these|those)
            |want\s+to\s+(?:learn|become|be|start|get|improve|lose|move|build|create|write|make|quit|grow
              |work|go)|plan\s+to|hope\s+to|have\s+been|know\s+(?:how|some|a\s+bit)
            |have\s+(?:a\s+(?:\w+\s+){0,2})?(?:son|daughter|wife|husband|girlfriend|boyfriend|dog|cat|kids?
              |child(?:ren)?|degree|phd|master|bachelor|background|experience|company|business|blog|startup
              |store|shop
              |website|channel|car|house|home|garden|condition|disorder|allergy|adhd|diabetes|autism|anxiety
                |depression|job|friend|sister|brother|macbook|laptop|team|newsletter|podcast|\d+\s+years)
            |have\s+(?:two|three|four|five|no|over|more\s+than|about|around|almost|\d+\+?)\s+\w+)\b
      | i['’]ve\s+(?:been|always|never|got\s+an?|worked|lived|played|had)\b
      )
    | my\s+(?:\w+\s+)?(?:wife|husband|partner|girlfriend|boyfriend|fianc\w+|son|daughter|kids?|children|child
      |mother|father|mom|mum|dad|parents|brother|sister|family|dog|cat|pet|job|career|boss|company
        |employer|startup|business|hobby|hobbies|favou?rite|hometown|house|car|degree|major|thesis|phd|school
          |college|university|native|mother\s+tongue|first\s+language|age|goal|dream|background|skills?|diet
        |health|doctor|therapist|blog|channel|podcast|field|profession|passion|interests?|name)\s+(?:is|are
          |was|has|have|and|i|we|in|at|of|to|loves?|likes?|works?|lives?)\b
    | (?:as|being)\s+an?\s+(?:\w+\s+){1,4},?\s*i\b
    | we\s+are\s+(?:an?|based)\b
    | our\s+(?:company|startup|business|family|team|product|shop|store|school)\s+(?:is|are|has|sells?|makes?
      |offers?|provides?)\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
PASTED = 1000
"""User turns with more characters are mostly pasted text."""
QUESTION = re.compile(r"\?|\b(?:suggest|recommend|advi[cs]e|tips|ideas?)\b", re.IGNORECASE)
ADVICE = re.compile(
    r"""\b(?:should\s+(?:i|we)
      |(?:can|could|would)\s+you\s+(?:please\s+)?(?:suggest|recommend|advise
        |give\s+me\s+(?:some\s+)?(?:advice|tips|ideas|suggestions|recommendations))
      |recommend(?:ations?)?|suggest(?:ions?)?|advice|(?:any|some|give\s+me)\s+(?:tips|ideas)
      |best\s+(?:way|place|book|app|laptop|phone|car|course|for\s+me)|(?:how|what|where|which)\s+(?:can|could
        |do|should|would)\s+(?:i|we)
      |is\s+it\s+(?:worth|a\s+good\s+idea)|help\s+me\s+(?:choose|decide|find|plan|pick)|worth\s+(?:it|buying
        |learning))\b""",
    re.IGNORECASE | re.VERBOSE,
)
PERSONAL_TOPIC = re.compile(
    r"""\b(?:cook|eat|recipes?|dinner|lunch|breakfast|meals?|snacks?|drinks?|wine|restaurants?|gifts?
      |presents?|birthday|trip|travel|vacation
      |holiday|visit|itinerary|hotel|books?|read|movies?|films?|tv\s+shows?|series|songs?|music|playlist
        |hobb(?:y|ies)|courses?|learn(?:ing)?
      |study|studying|exam|degree|universit(?:y|ies)|college|major|career|jobs?|interview|salary|resume|diet
        |weight|workout|exercises?|sleep
      |stress|anxiety|sick|pain|doctor|skin|hair|wear|outfit|clothes|buy|purchase|laptop|phone|car|camera
        |headphones|house|apartment|garden
      |plants?|dog|cat|girlfriend|boyfriend|wife|husband|friend|kids?|children|son|daughter|date|relationship
        |invest|money|save|retire|bored
      |weekend|fun|quit|move\s+to|language)\b""",
    re.IGNORECASE | re.VERBOSE,
)
ASKS = re.compile(
    r"""\b(?:suggest|recommend(?:ations?)?|advi[cs]e|tips|ideas|should\s+(?:i|we)|what\s+to|where\s+to|best|good
      |how\s+(?:can|do|could|should)\s+(?:i|we)|which|help\s+me|worth)\b""",
    re.IGNORECASE | re.VERBOSE,
)


class Candidate(NamedTuple):
    """One sentence of the population."""

    source: str
    """Name of the source."""
    conversation: str
    """The source's key of the conversation."""
    turn: int
    """Index of the turn."""
    span: Span
    """The sentence in the raw text of the turn."""
    text: str
    """Raw text of the turn."""
    before: str
    """Sentence before, in the same turn."""
    opening: str
    """First user turn of the conversation: tells role-play and pasted documents."""

    @property
    def sentence(self) -> str:
        """The sentence itself."""
        return self.text[self.span.start : self.span.end]


def user_turns(settings: SourceSettings) -> Iterator[tuple[str, int, str]]:
    """(conversation, turn, text before redaction) of each user turn of a source."""
    for conversation in open_source(settings, salt="labels").read():
        for index, turn in enumerate(conversation.turns):
            if turn.role == "user":
                yield conversation.source_id, index, turn.text


def in_labelled_half(conversation: str) -> bool:
    """Whether sentences of this conversation may be labelled."""
    return hashlib.sha256(conversation.encode()).hexdigest()[0] in LABELLED_HALF


def stratum_of(sentence: str, turn: str, task: str) -> str | None:
    """Stratum of a sentence of `turn` for the task "statements" or "queries"; None outside the population."""
    if len(sentence) > LONGEST or len(sentence.split()) < FEWEST_WORDS:
        return None
    return _query_stratum(sentence, turn) if task == "queries" else _statement_stratum(sentence, turn)


def _query_stratum(sentence: str, turn: str) -> str | None:
    if not QUESTION.search(sentence):
        return None
    if len(turn) <= PASTED and PERSONAL_TOPIC.search(sentence) and ASKS.search(sentence):
        return "personal"
    return "advice" if ADVICE.search(sentence) and FIRST_PERSON.search(sentence) else "question"


def _statement_stratum(sentence: str, turn: str) -> str:
    if not FIRST_PERSON.search(sentence):
        return "other"
    kind = "likely" if DURABLE.search(sentence) else "first_person"
    return kind if len(turn) <= PASTED else f"{kind}_pasted"


def population(turns: Iterator[tuple[str, int, str]], source: str, task: str) -> dict[str, list[Candidate]]:
    """All different sentences of the labelled half by stratum, in order of first appearance."""
    strata: dict[str, list[Candidate]] = {}
    seen: set[str] = set()
    opening: tuple[str | None, str] = (None, "")
    for conversation, turn, text in turns:
        if opening[0] != conversation:
            opening = (conversation, text)
        if not in_labelled_half(conversation):
            continue
        before = ""
        for span in sentences(text):
            sentence = text[span.start : span.end]
            stratum = stratum_of(sentence, text, task)
            key = sentence.casefold()
            if stratum and key not in seen:
                seen.add(key)
                strata.setdefault(stratum, []).append(
                    Candidate(source, conversation, turn, span, text, before, opening[1])
                )
            before = sentence
    return strata


def draw(
    candidates: Sequence[Candidate], stratum: str, start: int, count: int, done: frozenset[Key] = frozenset()
) -> list[Candidate]:
    """Positions start..start+count of the stratum's seeded random order, after those of `done` are left out.

    A simple random sample of what is left, added to an earlier simple random sample, is one of the whole stratum.
    """
    candidates = [row for row in candidates if (row.conversation, row.turn, row.span.start) not in done]
    order = list(range(len(candidates)))
    random.Random(f"{SEED}/{stratum}").shuffle(order)
    return [candidates[i] for i in order[start : start + count]]


def done_before(source: str, task: str) -> frozenset[Key]:
    """The sentences of `source` that are labelled already."""
    with Path(__file__).with_name(f"{task}.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == source]
    return frozenset((row["conversation"], int(row["turn"]), int(row["start"])) for row in rows)


@friendly
def sample(
    task: Annotated[str, typer.Argument(help="statements or queries")],
    stratum: Annotated[str, typer.Argument(help="e.g. likely, first_person, other; personal, advice, question")],
    source: Annotated[str, typer.Option(help="Name of a source.")] = "sharegpt",
    path: Annotated[str | None, typer.Option(help="File or folder of the source, where it needs one.")] = None,
    start: Annotated[int, typer.Option(help="Position in the seeded order.")] = 0,
    count: Annotated[int, typer.Option(help="Sentences to show.")] = 100,
    fresh: Annotated[bool, typer.Option(help="Leave out sentences that are labelled already.")] = True,
) -> None:
    """Show sentences to label, each with the start of its turn and the sentence before it.

    Example: python -m pipeline.mine.labels.sample statements likely --count 20.
    """
    settings = SourceSettings(name=source, path=path, strict=False, license=None, max_conversations=None)
    strata = population(user_turns(settings), source, task)
    if stratum not in strata:
        raise unknown_name("stratum", stratum, strata)
    typer.echo(f"population: { {name: len(rows) for name, rows in strata.items()} }")
    done = done_before(source, task) if fresh else frozenset[Key]()
    for number, row in enumerate(draw(strata[stratum], stratum, start, count, done), start=start):
        opening = "<<" + " ".join(row.opening[:90].split()) + ">> " if row.turn else ""
        head = " ".join(row.text[:130].split()) if row.span.start else ""
        before = " ".join(row.before[-120:].split())
        typer.echo(f"#{number} [{row.turn}, {row.span.start}/{len(row.text)}] {opening}{head} || {before}")
        typer.echo(f"   >> {' '.join(row.sentence.split())}")


if __name__ == "__main__":
    typer.run(sample)
