from pathlib import Path

import pytest
import yaml

from pipeline.core.records import Conversation, Exchange, Turn
from pipeline.core.tables import read_parquet
from pipeline.exchanges.stage import DropReason, ExchangeSettings, exchanges_of, run, why_not
from pipeline.mine.config import MineSettings

SETTINGS = ExchangeSettings(max_exchanges=50, max_per_user=2, min_words=2, max_words=10)
ROOT = Path(__file__).parents[3]


def conversation(*turns: tuple[str, str]) -> Conversation:
    return Conversation(
        source="s",
        source_id="c",
        user_id="u",
        turns=tuple(Turn(role=role, text=text) for role, text in turns),
        language=None,
        license="MIT",
        timestamp=None,
    )


def mine_settings(path: Path) -> MineSettings:
    section = yaml.safe_load((ROOT / "params.yaml").read_text())["mine"]
    section["sources"] = [
        {"name": "jsonl", "path": str(path), "strict": True, "license": None, "max_conversations": None}
    ]
    return MineSettings.model_validate(section)


def test_a_message_without_a_reply_is_no_exchange() -> None:
    found = list(exchanges_of(conversation(("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d"))))
    assert [(exchange.user, exchange.assistant, exchange.turn) for exchange in found] == [("b", "c", 1)]


@pytest.mark.parametrize(
    ("user", "assistant", "reason"),
    [
        ("How are you?", "Fine, thank you.", None),
        ("Hi", "Fine, thank you.", DropReason.LENGTH),
        ("How are you?", "word " * 11, DropReason.LENGTH),
        ("Fix this for me", "```x = 1``` is it", DropReason.CODE),
        ("Write to me@example.org please", "Of course I will.", DropReason.IDENTIFIER),
    ],
)
def test_unusable_texts_are_dropped_with_their_reason(user: str, assistant: str, reason: DropReason | None) -> None:
    (exchange,) = exchanges_of(conversation(("user", user), ("assistant", assistant)))
    assert why_not(exchange, SETTINGS) == reason


def test_every_exchange_is_kept_or_counted_with_a_reason(tmp_path: Path) -> None:
    report = run(SETTINGS, mine_settings(ROOT / "tests/data/conversations.jsonl"), tmp_path)
    flow = report["counts"]["exchanges"]
    assert flow["in"] == flow["out"] + flow["dropped"]
    assert flow["dropped"] == sum(flow["by_reason"].values())
    kept = list(read_parquet(tmp_path / "exchanges.parquet", Exchange))
    assert len(kept) == flow["out"] > 3
    assert len({exchange.id for exchange in kept}) == len(kept)


def test_reading_stops_at_the_number_asked_for(tmp_path: Path) -> None:
    few = SETTINGS.model_copy(update={"max_exchanges": 3})
    run(few, mine_settings(ROOT / "tests/data/conversations.jsonl"), tmp_path)
    assert len(list(read_parquet(tmp_path / "exchanges.parquet", Exchange))) == 3
