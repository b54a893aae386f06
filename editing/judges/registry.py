"""Judges by name, loaded when asked for, with what identifies them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from editing.judges.base import Judge
from editing.judges.config import JudgeConfig
from editing.judges.embedding import EmbeddingJudge
from editing.judges.exact import ExactJudge
from editing.judges.llm import identity, open_llm_judge
from editing.metrics import degenerate
from pipeline import embedding
from pipeline.core import wording
from pipeline.core.errors import ConfigError, unknown_name
from pipeline.core.provenance import versions
from pipeline.llm.config import LLMConfig


def _exact(config: JudgeConfig, llm: LLMConfig | None) -> Judge:
    return ExactJudge(config.exact)


def _embedding(config: JudgeConfig, llm: LLMConfig | None) -> Judge:
    from pipeline.embedding import embed

    dtype = config.embedding.dtype
    return EmbeddingJudge(config.embedding, config.exact, lambda texts: embed(texts, dtype=dtype))


def _llm(config: JudgeConfig, llm: LLMConfig | None) -> Judge:
    return open_llm_judge(config.llm, _bound(llm))


def _bound(llm: LLMConfig | None) -> LLMConfig:
    if llm is None:
        raise ConfigError("judge.judges: 'llm' needs the section llm of params.yaml.")
    return llm


JUDGES: dict[str, Callable[[JudgeConfig, LLMConfig | None], Judge]] = {
    "exact": _exact,
    "embedding": _embedding,
    "llm": _llm,
}
"""Every judge by name."""


def load_judge(name: str, config: JudgeConfig, llm: LLMConfig | None = None) -> Judge:
    """The judge called `name`.

    Raises:
        ConfigError: no judge has this name.
    """
    if name not in JUDGES:
        raise unknown_name("judge", name, JUDGES)
    return JUDGES[name](config, llm)


RULES = (degenerate, wording, embedding)
"""Modules elsewhere that verdicts depend on: what a repetition is, what equal words are, the sentence vectors."""


def judge_sha256(name: str, config: JudgeConfig, llm: LLMConfig | None = None) -> str:
    """What identifies a judge: its name, its settings, the code that verdicts depend on.

    Also, of `embedding`, the version of the packaged weights, and of `llm`, model and rubrics.
    """
    settings = {section: getattr(config, section).model_dump(mode="json") for section in ("exact", "embedding")}
    used: object = {name: settings.get(name)}
    if name == "embedding":
        used = [settings, versions(embedding.WEIGHTS_PACKAGE)]
    if name == "llm":
        used = identity(config.llm, _bound(llm))
    digest = hashlib.sha256(json.dumps([name, used], sort_keys=True).encode())
    folder = Path(__file__).parent
    own = sorted(p for end in ("*.py", "*.yaml", "*.txt", "embedding_head.json") for p in folder.glob(end))
    for path in (*own, *(Path(str(module.__file__)) for module in RULES)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
