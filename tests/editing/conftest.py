"""Tiny random models and a small dataset of our own, for every test of the editing engine."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from editing.lm.load import LM, build
from editing.methods.base import Fact, Resources, User
from editing.runner import Cell, EditSettings, run_cell
from pipeline.core.config import load_section
from pipeline.core.errors import UpqaError
from pipeline.core.records import ClusterMember, Difficulty, Evidence, Preference, Provenance, Question, content_id
from pipeline.core.tables import write_json, write_parquet

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]


@pytest.fixture(autouse=True)
def _two_threads_at_most() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def byte_tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer without merges: every byte is a token, and offsets are exact."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate([*SPECIAL, *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|end|>", pad_token="<|pad|>", additional_special_tokens=SPECIAL[2:]
    )
    tokenizer.chat_template = template
    return tokenizer


SIZES = {
    "num_hidden_layers": 4,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 261,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
GPT_SIZES = {"n_layer": 4, "n_head": 4, "n_embd": 32, "vocab_size": 261, "n_positions": 1024}
OTHER_SIZES: dict[str, dict[str, Any]] = {
    "gpt2": GPT_SIZES,
    "gptj": {**GPT_SIZES, "rotary_dim": 4},
    "gpt_neox": {key: value for key, value in SIZES.items() if key not in {"num_key_value_heads", "head_dim"}},
    "qwen2": {key: value for key, value in SIZES.items() if key != "head_dim"},
}


def tiny_config(family: str) -> Any:
    """Sizes of a model that answers in milliseconds; tied embeddings where the family ties them."""
    return AutoConfig.for_model(family, **OTHER_SIZES.get(family, SIZES))


@pytest.fixture
def make_lm() -> Callable[..., LM]:
    def make(
        family: str = "llama",
        seed: int = 0,
        template: str | None = TEMPLATE,
        config: Any = None,
        device: str = "cpu",
    ) -> LM:
        generator = torch.get_rng_state()
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config or tiny_config(family), dtype=torch.float32)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    # Larger than the default initialisation, so that prompts and edits make a visible difference.
                    parameter.normal_(0, 0.25)
        torch.set_rng_state(generator)
        model.generation_config.eos_token_id = 1
        return build(model.to(device), byte_tokenizer(template), name=f"tiny-{family}")

    return make


@pytest.fixture(params=["llama", "gpt2"])
def lm(request: pytest.FixtureRequest, make_lm: Callable[..., LM]) -> LM:
    return make_lm(request.param)


SYNONYMS = {"hobby": ("pastime", "leisure"), "diet": ("nutrition", "menu"), "job": ("profession", "trade")}


def a_user(number: int = 0) -> User:
    subject, target = [("hobby", "chess"), ("diet", "vegan"), ("job", "nurse")][number % 3]
    statement = f"My {subject} is {target}."
    synonyms = tuple(
        Fact(f"p{number}", statement, f"What is my {synonym}?", synonym, f"{target} {at}")
        for at, synonym in enumerate(SYNONYMS[subject])
    )
    fact = Fact(f"p{number}", statement, f"What is my {subject}?", subject, target, synonyms)
    return User(f"u{number}", (fact,), (fact.statement, "I live by the sea."))


@pytest.fixture
def users() -> list[User]:
    return [a_user(0), a_user(1), a_user(2)]


@pytest.fixture(scope="session")
def statistics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cache of statistics that many tests share; its files are keyed by all they depend on."""
    return tmp_path_factory.mktemp("statistics")


@pytest.fixture
def resources(statistics: Path) -> Resources:
    texts = (
        "I like long walks by the river.",
        "What should I read next?",
        "We moved house in the spring of last year.",
    )
    return Resources(texts, statistics)


FACTS = [
    ("profession", "nurse", "I work as a nurse."),
    ("hobby", "chess", "I play chess every evening."),
    ("diet", "vegan", "I have been vegan for years."),
    ("pet", "parrot", "I share my flat with a parrot."),
    ("home town", "Lisbon", "I grew up in Lisbon."),
    ("favourite season", "autumn", "Autumn is my favourite season."),
]
KINDS = {
    "explicit": ("What is my {a}?", "recall"),
    "rephrased": ("What did I tell you about that?", "recall"),
    "implicit": ("How should I spend my Sunday?", "apply"),
    "product": ("What should I buy?", "apply"),
    "unstated": ("What is my shoe size?", "abstain"),
    "irrelevant": ("How do I fix a tap?", "abstain"),
    "other_person": ("What is my sister's {a}?", "abstain"),
    "neutral": ("What is the capital of Peru?", "abstain"),
}


def a_preference(number: int, split: str) -> Preference:
    attribute, target, statement = FACTS[number % len(FACTS)]
    return Preference(
        id=content_id("preference", number),
        user_id=content_id("user", number),
        statement=statement,
        attribute_type=attribute,
        family=attribute,
        target=target,
        aliases=(),
        cluster=(ClusterMember(attribute_type=attribute, question=f"What is my {attribute}?", target=target),),
        sensitive=(),
        evidence=Evidence(source="fixture", conversation=str(number), turn=0, start=0, end=len(statement)),
        source="fixture",
        license="Apache-2.0",
        split=split,
        provenance=Provenance(model="none", prompts={}, samples=0),
    )


def questions_of(preference: Preference) -> list[Question]:
    measured = Difficulty(
        statement_overlap=0, attribute_overlap=0, statement_similarity=0, statement_rank=1, statement_pool=9
    )
    return [
        Question(
            id=content_id(preference.id, kind),
            preference_id=preference.id,
            user_id=preference.user_id,
            kind=kind,
            text=text.replace("{a}", preference.attribute_type),
            origin="template",
            query_id=None,
            expects=expects,
            accepted=(preference.target,) if expects != "abstain" else (),
            difficulty="easy",
            measured=measured,
            license="Apache-2.0",
            split=preference.split,
        )
        for kind, (text, expects) in KINDS.items()
    ]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A released dataset of twelve users, four in each split."""
    folder = tmp_path / "hub"
    for at, split in enumerate(("train", "validation", "test")):
        preferences = [a_preference(number, split) for number in range(4 * at, 4 * at + 4)]
        write_parquet(folder / "data" / f"preferences-{split}.parquet", preferences, Preference)
        rows = [question for preference in preferences for question in questions_of(preference)]
        write_parquet(folder / "data" / f"questions-{split}.parquet", rows, Question)
    write_json(folder / "manifest.json", {"name": "fixture"})
    return folder


@pytest.fixture
def fail_run(pytestconfig: pytest.Config) -> Callable[[Path, Path], None]:
    """Runs a cell, whose checkpoint is nowhere, on a data set into a folder <model>/<method>."""

    def run(dataset: Path, folder: Path) -> None:
        settings = load_section(pytestconfig.rootpath / "params.yaml", "edit", EditSettings)
        model, method = folder.parts[-2:]
        settings = settings.model_copy(update={"checkpoints": {model: "/nowhere"}})
        with pytest.raises(UpqaError):
            run_cell(Cell(settings, model, method), dataset, folder, folder.parent / "cache")

    return run


@pytest.fixture
def changing(release: Path) -> Path:
    """The release, with values in its training split that users of the test split could have held before."""
    file = release / "data" / "preferences-train.parquet"
    rows = [a_preference(number, "train") for number in range(6)]
    others = [
        row.model_copy(update={"target": f"old {row.target}", "statement": f"Old: {row.statement}"}) for row in rows
    ]
    write_parquet(file, others, Preference)
    return release


@pytest.fixture
def checkpoint(tmp_path: Path, make_lm: Callable[..., LM]) -> Path:
    """A tiny Llama on disk, as safetensors with its tokenizer."""
    made = make_lm("llama")
    folder = tmp_path / "tiny-llama"
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    return folder
