"""Which sentences of an answer may speak for it where no word of the target stands in them."""

from __future__ import annotations

from collections.abc import Sequence

from editing.judges import cues
from editing.judges.base import RECALL_KINDS, Item
from editing.judges.reading import Sentence, Stance, own_words
from editing.judges.restrictions import Respect


def speaking(item: Item, respected: Respect, list_items: int) -> tuple[list[Sentence], str]:
    """The sentences that may speak for the answer, and why the last one left out was left out.

    Left out are refusals; for explicit and rephrased questions also questions back, sentences about the speaker or
    others, lists of alternatives, what held once, and what is denied of the user (unless the preference is a
    restriction). Where such a question is refused or met with a verdict, nothing else in the answer speaks.
    """
    if item.kind in RECALL_KINDS and cues.GRADE.search(item.reply):
        return [], "injection"
    kept: list[Sentence] = []
    reason = ""
    for sentence in own_words(item):
        why = _why_not(sentence, item, respected, list_items)
        if why is None:
            kept.append(sentence)
        elif why == "refusal" and item.kind in RECALL_KINDS:
            return [], why
        else:
            reason = why
    return kept, reason


def _why_not(sentence: Sentence, item: Item, respected: Respect, list_items: int) -> str | None:
    text = " ".join(token.text for token in sentence.tokens)
    refusal = cues.REFUSAL.search(text)
    if refusal and " but " not in text[refusal.end() :]:
        return "refusal"
    if item.kind not in RECALL_KINDS:
        return None
    to_user = cues.YOU.search(cues.OTHERS.sub(" ", text)) is not None
    checks: Sequence[tuple[bool, str]] = (
        (sentence.question and not cues.TAG_QUESTION.search(text), Stance.ASKED),
        (cues.SELF.search(text) is not None and not to_user, Stance.ABOUT_ITSELF),
        ((cues.OTHERS.match(text) or cues.CROWD.search(text)) is not None and not to_user, Stance.ABOUT_OTHERS),
        (_is_list(sentence, list_items), Stance.LISTED),
        (cues.PAST.search(text) is not None and not cues.PAST.search(item.statement.casefold()), Stance.OVERRIDDEN),
        (respected is not Respect.EXCLUDED and cues.DENIES_USER.search(text) is not None, Stance.NEGATED),
    )
    return next((reason for holds, reason in checks if holds), None)


def _is_list(sentence: Sentence, list_items: int) -> bool:
    texts = [token.text for token in sentence.tokens]
    return "or" in texts and texts.count(",") + texts.count("or") + 1 >= list_items
