"""The one prompt builder: chat template or plain text, subject positions, thinking."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editing.lm.load import LM
from editing.lm.prompt import Message, PromptBuilder, strip_thinking
from pipeline.core.errors import InputError
from tests.editing.conftest import TEMPLATE

NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.mark.parametrize("template", ["default", None, NO_SYSTEM])
def test_the_subject_s_last_token_is_found_in_every_form(template: str | None, make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama", **({} if template == "default" else {"template": template}))
    prompt = lm.prompts.prompt([Message("system", "What is my hobby?"), Message("user", "Hello! What is my hobby?")])
    position = prompt.last_token_of("Hobby", "What is my hobby?")
    start, end = prompt.spans[position]
    assert prompt.text[start:end] == "y"
    assert prompt.text[start - 4 : end + 1] == "hobby?"
    assert start == prompt.text.rindex("y?")


def test_a_missing_subject_is_an_error_that_names_it(make_lm: Callable[..., LM]) -> None:
    prompt = make_lm("llama").prompts.ask("What is my hobby?")
    with pytest.raises(InputError, match="'diet' does not stand in the question"):
        prompt.last_token_of("diet", "What is my hobby?")
    with pytest.raises(InputError, match="does not stand"):
        prompt.last_token_of("  ", "What is my hobby?")


def test_the_last_token_of_a_subject_covers_its_last_character(make_lm: Callable[..., LM]) -> None:
    builder = make_lm("llama").prompts

    @given(before=st.text(max_size=12), subject=st.text(alphabet="abcdefg hij", min_size=1).filter(str.strip))
    def check(before: str, subject: str) -> None:
        question = f"{before} what about my {subject}?"
        prompt = builder.ask(question)
        start, end = prompt.spans[prompt.last_token_of(subject, question)]
        assert prompt.text[start:end].endswith(subject.strip()[-1])

    check()


def test_a_template_without_system_role_gets_the_system_text_in_the_first_message(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama", template=NO_SYSTEM)
    text = lm.prompts.render([Message("system", "Be brief."), Message("user", "Hi")])
    assert text == "[user]Be brief.\nHi<|end|>[assistant]"


def test_raw_text_has_no_template_and_answers_follow_a_space(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama", template=None)
    assert lm.prompts.form == "raw"
    assert lm.prompts.ask("Hi").text == "Hi"
    assert lm.tokenizer.decode(lm.prompts.answer_ids("chess")) == " chess"


def test_chat_without_a_template_is_refused(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama", template=None)
    with pytest.raises(InputError, match="no chat template"):
        PromptBuilder.of(lm.tokenizer, "chat")


def test_an_empty_target_is_refused(make_lm: Callable[..., LM]) -> None:
    with pytest.raises(InputError, match="empty"):
        make_lm("llama").prompts.answer_ids("")


def test_the_end_of_a_turn_stops_an_answer(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama")
    assert lm.prompts.turn_end() == lm.tokenizer.convert_tokens_to_ids("<|end|>")
    assert make_lm("llama", template=None).prompts.turn_end() is None


def test_the_prompt_hash_changes_with_the_template(make_lm: Callable[..., LM]) -> None:
    hashes = {make_lm("llama", template=template).prompts.sha256 for template in (NO_SYSTEM, None, "{{ messages }}")}
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>a nurse?</think>Nurse.", "Nurse."),
        ("so far</think> Nurse.", " Nurse."),
        ("<think>never closed", ""),
        ("No thinking.", "No thinking."),
        ("<think>one</think>a<think>two</think>b", "b"),
        ("<think>one</think>a<think>never closed", "a"),
        ("[THINK]a nurse?[/THINK]Teacher.", "Teacher."),
        ("[THINK]never closed", ""),
        (
            "<|channel|>analysis<|message|>A nurse?<|end|><|start|>assistant<|channel|>final<|message|>Teacher.",
            "Teacher.",
        ),
        ("<|channel|>analysis<|message|>A nurse? <|end", ""),
        ("<|channel|>final<|message|>Teacher.<|return|>", "Teacher."),
        ("<|channel|>final<|message|>One.<|end|><|start|>assistant<|channel|>final<|message|>Two.", "Two."),
        ("<|channel|>commentary to=tool <|constrain|>json<|message|>{}", ""),
    ],
)
def test_thinking_is_no_part_of_the_answer(text: str, expected: str) -> None:
    assert strip_thinking(text) == expected


MARKS = [("<think>", "</think>"), ("[THINK]", "[/THINK]")]
NO_MARKS = st.text(alphabet=st.characters(exclude_characters="<[", codec="utf-8"), max_size=30)


@pytest.mark.parametrize(("mark", "end"), MARKS)
@pytest.mark.parametrize("special", [False, True])
def test_where_the_prompt_opens_the_thinking_the_answer_is_what_follows_its_end(
    mark: str, end: str, special: bool, make_lm: Callable[..., LM]
) -> None:
    opening = TEMPLATE.replace("<|assistant|>{% endif %}", f"<|assistant|>{mark}\n{{% endif %}}")
    prompts = make_lm("llama", template=opening).prompts
    if special:
        prompts.tokenizer.add_special_tokens(
            {"additional_special_tokens": [mark, end]}, replace_extra_special_tokens=False
        )

    @given(thought=NO_MARKS, answer=NO_MARKS)
    def check(thought: str, answer: str) -> None:
        def read(text: str) -> str:
            return prompts.decode(prompts.tokenizer(text, add_special_tokens=False)["input_ids"])

        assert read(f"{thought}{end}{answer}<|end|>") == answer.strip()
        assert read(thought) == ""
        assert read(f"{mark}{thought}") == ""

    check()


def test_where_the_prompt_closes_the_thinking_the_whole_text_is_the_answer(make_lm: Callable[..., LM]) -> None:
    closed = TEMPLATE.replace("<|assistant|>{% endif %}", "<|assistant|><think>\n\n</think>\n\n{% endif %}")
    prompts = make_lm("llama", template=closed).prompts
    assert prompts.decode(prompts.answer_ids("Teacher.")) == "Teacher."


def test_a_question_about_thinking_marks_opens_nothing(make_lm: Callable[..., LM]) -> None:
    prompts = make_lm("llama").prompts
    assert prompts.ask("What is <think>").text.endswith("<think><|end|><|assistant|>")
    assert prompts.decode(prompts.answer_ids("A mark.")) == "A mark."


@given(st.lists(st.tuples(st.sampled_from(["analysis", "commentary", "final"]), NO_MARKS), min_size=1, max_size=4))
def test_of_channels_the_last_final_one_is_the_answer(said: list[tuple[str, str]]) -> None:
    text = "<|end|><|start|>assistant".join(f"<|channel|>{name}<|message|>{words}" for name, words in said)
    finals = [words for name, words in said if name == "final"]
    assert strip_thinking(text) == (finals[-1] if finals else "")


@given(NO_MARKS)
def test_text_without_marks_is_the_answer_as_it_is(text: str) -> None:
    assert strip_thinking(text) == text
