"""GRACE: how the codebook takes edits in, and where it answers."""

from collections.abc import Callable

import torch

from editing.lm.load import LM
from editing.methods.base import Fact, Resources, User
from editing.methods.grace import Entry, GraceConfig, add
from editing.methods.registry import create, load_config
from editing.patches.apply import applied
from editing.patches.patch import Patch

KEYS = {name: torch.tensor(place) for name, place in {"origin": [0.0, 0], "near": [1.5, 0], "far": [9.0, 0]}.items()}


def book_of(*edits: tuple[str, str]) -> list[Entry]:
    book: list[Entry] = []
    for key, target in edits:
        add(book, KEYS[key], torch.zeros(3), target, 1.0)
    return book


def fitted(lm: LM, users: list[User], resources: Resources) -> list[Patch]:
    config = load_config("grace").model_copy(update={"steps": 30})
    return create("grace", config, resources).fit(lm, users)


def test_a_far_edit_becomes_an_entry_of_its_own() -> None:
    assert [entry.radius for entry in book_of(("origin", "chess"), ("far", "vegan"))] == [1.0, 1.0]


def test_a_near_edit_with_the_same_target_widens_the_entry() -> None:
    assert [entry.radius for entry in book_of(("origin", "chess"), ("near", "chess"))] == [1.5]


def test_a_near_edit_with_another_target_splits_the_distance() -> None:
    assert [entry.radius for entry in book_of(("origin", "chess"), ("near", "vegan"))] == [0.75, 0.75]


def test_every_entry_keeps_its_own_target_however_many_edits_follow() -> None:
    # Labels that are prepended while keys are appended would compare the third edit with the first one's target.
    book = book_of(("origin", "chess"), ("far", "vegan"), ("near", "chess"))
    assert [(entry.key.tolist(), entry.target, entry.radius) for entry in book] == [
        ([0.0, 0.0], "chess", 1.5),
        ([9.0, 0.0], "vegan", 1.0),
    ]


def test_the_edited_question_is_answered_and_every_other_one_is_left_alone(
    make_lm: Callable[..., LM], resources: Resources
) -> None:
    lm = make_lm("llama")
    user = [User("u", (Fact("p", "I play x.", "What is my hobby?", "hobby", "x"),))]
    patches = create("none", load_config("none"), resources).fit(lm, user) + fitted(lm, user, resources)
    asked = ["What is my hobby?", "What is my diet?", "How far is the moon?"]
    with applied(lm, patches) as responder:
        found = responder.log_probs([0, 1] * 3, [text for text in asked for _ in range(2)], ["x"] * 6)
        replies = responder.answer([1], asked[:1], max_new_tokens=1, batch_size=1)
    assert found[1] > found[0] + 1
    assert found[2] == found[3] and found[4] == found[5]
    assert replies[0].text == "x"


def test_the_value_is_trained_in_the_layers_above_alone(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("llama")
    passes: list[int] = []
    layer = 3
    handles = [
        lm.structure.down[below].module.register_forward_hook(lambda *_: passes.append(1)) for below in range(layer)
    ]
    config = load_config("grace").model_copy(update={"layer": layer, "stop_below": 0.0})
    try:
        for steps in (2, 9):
            passes.append(0)
            create("grace", config.model_copy(update={"steps": steps}), resources).fit(lm, users)
    finally:
        for handle in handles:
            handle.remove()
    second = len(passes) - 1 - passes[::-1].index(0)
    assert sum(passes[:second]) == sum(passes[second:])


def test_two_facts_of_one_user_are_two_entries(make_lm: Callable[..., LM], resources: Resources) -> None:
    lm = make_lm("llama")
    facts = (
        Fact("p0", "", "What is my hobby?", "hobby", "x"),
        Fact("p1", "", "Do you know where I was born?", "born", "y"),
    )
    (patch,) = fitted(lm, [User("u", facts)], resources)
    (book,) = patch.codebooks().values()
    config = load_config("grace")
    assert isinstance(config, GraceConfig)
    assert len(book.keys) == len(book.values) == 2
    assert book.radii.tolist() == [config.radius] * 2
    with applied(lm, [patch]) as responder:
        replies = responder.answer([0, 0], [fact.question for fact in facts], max_new_tokens=1, batch_size=2)
    assert [reply.text for reply in replies] == ["x", "y"]
