"""How far a personalised model moves from the base model on controls; docs/protocol.md, "Drift on the controls"."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from editing.lm.generate import generate
from editing.lm.load import LM
from editing.patches.apply import Responder, target_row
from pipeline.core.records import CONTROL_KINDS, Question, Record, content_id
from pipeline.core.tables import read_jsonl, write_jsonl

KL_TOKENS = 8
"""T of the protocol: so many tokens of the base model's answer count."""
BLOCK = 64
"""Questions whose distributions are held in memory at once."""


class BaseAnswer(Record):
    """The unedited model's answer to one question."""

    question_id: str
    """The question."""
    text: str
    """The answer, thinking stripped."""
    ids: tuple[int, ...]
    """Its tokens, thinking included; for an empty answer the stop token."""


def base_answers(
    lm: LM, questions: Sequence[Question], *, max_new_tokens: int, batch_size: int, cache: Path
) -> dict[str, BaseAnswer]:
    """The base model's answers to the control questions among `questions`, by question id.

    They are the same for every method, so they are kept in a file below `cache`, named by all that decides them. A cell
    that finds no such file writes it: no cell needs another to have run.
    """
    controls = [question for question in questions if question.kind in CONTROL_KINDS]
    key = content_id(
        lm.weights_sha256,
        str(lm.dtype),
        lm.device.type,
        lm.prompts.sha256,
        sorted(lm.stop_ids),
        _code_sha256(),
        max_new_tokens,
        batch_size,
        [(question.id, question.text) for question in controls],
    )
    file = cache / "base" / f"{key}.jsonl"
    if not file.is_file():
        prompts = [lm.prompts.ask(question.text).ids for question in controls]
        written = generate(
            lm, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size, groups=[0] * len(controls)
        )
        stop = min(lm.stop_ids, default=lm.pad_id)
        rows = [
            BaseAnswer(question_id=question.id, text=lm.prompts.decode(ids), ids=ids or (stop,))
            for question, (ids, _) in zip(controls, written, strict=True)
        ]
        write_jsonl(file, rows)
    return {answer.question_id: answer for answer in read_jsonl(file, BaseAnswer)}


def _code_sha256() -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for file in sorted((Path(__file__).parent / "lm").glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def divergences(
    responder: Responder, users: Sequence[int], questions: Sequence[str], base: Sequence[BaseAnswer]
) -> list[float]:
    """KL(base || personalised) in nats for each question, averaged over the tokens of the base model's answer.

    Question i is asked as user `users[i]` of the responder, and as `nobody`, the base model.
    """
    blocks = [range(at, min(at + BLOCK, len(questions))) for at in range(0, len(questions), BLOCK)]
    return [
        value
        for block in blocks
        for value in _divergences(
            responder, [users[i] for i in block], [questions[i] for i in block], [base[i] for i in block]
        )
    ]


def _divergences(
    responder: Responder, users: Sequence[int], questions: Sequence[str], base: Sequence[BaseAnswer]
) -> list[float]:
    before: dict[int, Tensor] = {}
    found = [0.0] * len(questions)

    def remember(at: int, logits: Tensor) -> None:
        before[at] = logits.log_softmax(-1)

    def compare(at: int, logits: Tensor) -> None:
        expected, after = before[at], logits.log_softmax(-1)
        # Rounding may leave a distribution slightly below itself.
        found[at] = max(0.0, float((expected.exp() * (expected - after)).sum(-1).mean()))

    for asked_as, each in (([responder.nobody] * len(users), remember), (responder.asking(users, questions), compare)):
        rows = [
            target_row(responder.prompt(user, question), answer.ids[:KL_TOKENS], start=0)
            for user, question, answer in zip(asked_as, questions, base, strict=True)
        ]
        responder.read(asked_as, rows, each)
    return found
