"""The learner's copy and the solution are made from one file."""

import pytest

from exercises.template import parse_template

SOURCE = """\
def f(x):
    # begin solution: double x
    return 2 * x  # 2 x
    # end solution


def g(x):
    # begin solution: find the wrong line
    y = x + 1
    return y
    # given:
    # y = x - 1
    # if y:
    #     return y
    # end solution
"""


def test_the_learners_copy_has_the_tasks_and_the_given_lines() -> None:
    assert parse_template(SOURCE).learners_copy() == (
        "def f(x):\n"
        "    # TODO: double x\n"
        "    raise NotImplementedError\n"
        "\n\n"
        "def g(x):\n"
        "    y = x - 1\n"
        "    if y:\n"
        "        return y\n"
    )


def test_the_solution_has_no_markers() -> None:
    solution = parse_template(SOURCE).solution()
    assert (
        solution
        == "def f(x):\n    return 2 * x  # 2 x\n\n\ndef g(x):\n    y = x + 1\n    return y\n"
    )


def test_the_lines_to_write_are_those_of_the_learners_copy() -> None:
    template = parse_template(SOURCE)
    lines = template.learners_copy().splitlines()
    first, second = template.lines_to_write()
    assert [lines[n - 1].strip() for n in first] == [
        "# TODO: double x",
        "raise NotImplementedError",
    ]
    assert [lines[n - 1].strip() for n in second] == ["y = x - 1", "if y:", "return y"]


@pytest.mark.parametrize(
    "text",
    ["x = 1\n", "# begin solution: a\n", "# end solution\n", "# begin solution: a\n" * 2],
)
def test_a_missing_marker_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"^line \d: "):
        parse_template(text)
