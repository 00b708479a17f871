import pytest

from varireal.base.text import path_part_problem, text_problem


@pytest.mark.parametrize("text", ["lava", "São Paulo", "三毛猫", "a b", "x" * 50, "don't; {braces} & <tags>"])
def test_ordinary_lines_pass(text):
    assert text_problem(text, 50) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        (" lava", "begins or ends with a space"),
        ("x" * 51, "51 characters long, at most 50"),
        ("two\nlines", "U+000A at position 4"),
        ("bell\a", "U+0007"),
        ("\x1b[31mred", "U+001B at position 1"),
        ("right\u202eto left", "U+202E"),
        ("line\u2028separator", "U+2028"),
        ("private\ue000", "U+E000"),
    ],
)
def test_hostile_lines_are_named(text, said):
    assert said in text_problem(text, 50)


@pytest.mark.parametrize("text", ["../etc", "a/b", "a\\b", ".hidden", "..", "c:", "what?", "a\nb"])
def test_names_that_leave_a_folder_are_refused(text):
    assert path_part_problem(text, 50) is not None


@pytest.mark.parametrize("text", ["con", "NUL", "aux.png", "com1", "LPT9.tar.gz", "COM²", "nul .txt", "lava."])
def test_names_that_windows_keeps_for_itself_are_refused(text):
    assert "Windows does not take" in path_part_problem(text, 50)


@pytest.mark.parametrize("text", ["coral reef é", "console", "com", "com10", "nul-1", "a.con"])
def test_names_with_spaces_and_accents_and_words_like_devices_are_fine(text):
    assert path_part_problem(text, 50) is None
