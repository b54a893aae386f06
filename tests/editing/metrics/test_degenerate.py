from editing.metrics.degenerate import is_degenerate


def test_one_word_over_and_over_is_degenerate():
    assert is_degenerate("hiking hiking Hiking hiking")


def test_three_equal_sentences_are_degenerate():
    assert is_degenerate("You like to hike. You like to hike.\nYou like to hike!")


def test_a_cycle_of_words_is_degenerate():
    assert is_degenerate("at the club in Paris " * 6)


def test_a_normal_answer_is_not_degenerate():
    assert not is_degenerate(
        "You told me that you like hiking, so I would take the ridge trail early in the morning, pack some water and "
        "a warm layer, and be back before the afternoon storms that are common in the hills at this time of the year."
    )


def test_an_empty_answer_is_not_degenerate():
    assert not is_degenerate("  \n")


def test_short_repeated_lines_are_not_degenerate():
    assert not is_degenerate("Yes.\nYes.\nYes.")
