"""Every exercise: the right answer passes, every usual mistake is met with its own hint, and nothing raises."""

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

from ecgcourse import exercises, practice
from ecgcourse.course.exercises.judging import UNANSWERED, conditions, function, values, word
from ecgcourse.errors import SettingError

KEYS = exercises.keys()
MISTAKES = [(key, number) for key in KEYS for number in range(len(exercises.exercise(key).mistakes))]
BOOK = Path(__file__).resolve().parents[1] / "book"
STRANGE = [
    "",
    "42",
    3.5,
    -1,
    True,
    [],
    [1, "a"],
    {},
    {"a": 1},
    np.zeros((2, 3)),
    np.nan,
    object(),
    print,
    lambda *a: 1 / 0,
]


@pytest.fixture(scope="module", autouse=True)
def few_records(tmp_path_factory):
    """The records that some answers are counted in: few, with codes of unknown likelihood and of 80 percent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECGCOURSE_DATA", str(practice.write(tmp_path_factory.mktemp("few") / "data", 60, seed=1)))
        yield


@pytest.mark.parametrize("key", KEYS)
def test_right_answer_is_right(key):
    verdict = exercises.judge(key, exercises.exercise(key).right())
    assert (verdict.right, verdict.answered, verdict.said) == (True, True, "right.")


@pytest.mark.parametrize(("key", "number"), MISTAKES)
def test_mistake_is_met_with_its_own_hint(key, number):
    make, hint = exercises.exercise(key).mistakes[number]
    verdict = exercises.judge(key, make())
    said = hint(make()) if callable(hint) else hint
    # An answer of another kind may be told of the first edition besides.
    assert (verdict.right, verdict.said.partition(" In the first edition, ")[0]) == (False, f"not yet: {said}")


@pytest.mark.parametrize("key", KEYS)
def test_there_are_several_mistakes_and_no_hint_comes_twice(key):
    hints = [hint for _, hint in exercises.exercise(key).mistakes]
    assert len(hints) >= 3
    assert len(hints) == len(set(hints))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("answer", [..., None, lambda *arguments: None], ids=["dots", "None", "empty function"])
def test_no_answer_is_not_a_wrong_one(key, answer):
    needs_function = callable(exercises.exercise(key).right())
    if callable(answer) and not needs_function:
        return
    verdict = exercises.judge(key, answer)
    assert (verdict.right, verdict.answered, verdict.said) == (False, False, UNANSWERED)


@pytest.mark.parametrize("key", KEYS)
def test_strange_answers_get_a_sentence(key):
    for answer in STRANGE:
        said = exercises.judge(key, answer).said
        assert said == "right." or re.fullmatch(r"(not yet: |no answer yet).{10,}[.?!]", said), (answer, said)


def test_every_exercise_of_the_book_has_a_check_and_the_other_way_round():
    in_book = []
    for path in sorted(BOOK.glob("[0-9][0-9]_*.ipynb")):
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
        numbers = re.findall(r"^### Exercise (\d+)", "\n".join(cells), flags=re.MULTILINE)
        in_book += [f"{int(path.name[:2])}.{number}" for number in numbers]
    for number, place in enumerate(("I", "II", "III", "IV"), start=1):
        quiz = nbformat.read(BOOK / f"quiz_{number}.ipynb", as_version=4)
        asked = re.findall(r'exercises\.check\("([IV]+\.\d)"', "\n".join(cell.source for cell in quiz.cells))
        # Each twice: in the open cell, and in the folded solution.
        assert [key.split(".")[0] for key in asked] == [place] * len(asked) and asked[::2] == asked[1::2]
        in_book += asked[::2]
    assert list(KEYS) == in_book


def test_check_prints_the_verdict(capsys):
    exercises.check("4.1")
    exercises.check("4.1", exercises.exercise("4.1").right())
    assert capsys.readouterr().out == f"Exercise 4.1: {UNANSWERED}\nExercise 4.1: right.\n"


@pytest.mark.parametrize("key", ["4.99", "99.1", "four", "", 4.2, None])
def test_unknown_key_names_one_that_exists(key):
    with pytest.raises(SettingError, match=r"did you mean '(\d+|[IV]+)\.\d+'"):
        exercises.check(key, 1)


@pytest.mark.parametrize(
    ("key", "answer", "title"),
    [
        ("1.1", {"rate": 60, "width": 80, "height": 1.2}, "read the paper"),
        ("4.2", "neither", "a weak and a strong ECG"),
        ("4.4", "pairs with T", "only the T wave"),
        ("10.4", lambda losses, patience: 3, "patience"),
        ("11.2", "AUROC", "probabilities to the third"),
        ("14.5", "the fall of the logit", "the same heart without CD"),
    ],
)
def test_an_answer_of_the_first_edition_is_told_that_the_exercise_was_another(key, answer, title):
    said = exercises.judge(key, answer).said
    assert said.startswith("not yet: ") and said.endswith(
        f'In the first edition, exercise {key} was another one, "{title}".'
    )
    wrong_now, _ = exercises.exercise(key).mistakes[-1]
    assert "first edition" not in exercises.judge(key, wrong_now()).said


@pytest.mark.parametrize(("key", "now"), [("15.4", "10.3"), ("15.5", "17.4")])
def test_an_exercise_that_is_gone_names_the_one_in_its_place(key, now):
    with pytest.raises(
        SettingError, match=f"exercise {key} of the first edition, .* is gone; exercise {now} is similar"
    ):
        exercises.check(key, 1)
    assert now in KEYS


# --- what is wrong with numbers, held against plain arithmetic

TABLE = np.arange(6.0).reshape(2, 3)
SQUARE = np.array([[0.0, 1], [2, 3]])
SHAPES_AND_VALUES = [
    (TABLE, TABLE.T, "transpose it"),
    (SQUARE, SQUARE.T, "transpose it"),
    (TABLE, TABLE.ravel(), r"shape is \(6,\)"),
    (TABLE, TABLE[:, :2], "axis 1 has 2 entries in place of 3"),
    (TABLE, TABLE[0, 0], "this is one number"),
    (TABLE, -TABLE, "sign is the other way round"),
    (TABLE, TABLE * np.nan, "6 of the numbers are NaN"),
    (np.arange(4), np.arange(4)[::-1], "order is the other way round"),
    (0.25, 25, "share in place of percent"),
    (25, 0.25, "percent in place of a share"),
    (1.2, 1200, "check the unit"),
    (7, 8, "off by one: it is 1 too large"),
    (7, 6, "off by one: it is 1 too small"),
    (7, np.ones(2), r"array of shape \(2,\)"),
    (7, "7", "numbers are needed"),
    (7, 3, "^not yet: think again$"),
]


@pytest.mark.parametrize(("wanted", "answer", "said"), SHAPES_AND_VALUES)
def test_what_is_wrong_with_numbers(wanted, answer, said):
    exercise = values(lambda: wanted, what="a number", hint="think again")
    assert re.search(said, exercises.judging.judged(exercise, answer).said)
    assert exercises.judging.judged(exercise, wanted).right


def test_a_list_a_tensor_and_a_table_are_numbers():
    pd, torch = pytest.importorskip("pandas"), pytest.importorskip("torch")
    exercise = values(lambda: TABLE, what="numbers", hint="think again")
    for answer in (TABLE.tolist(), torch.as_tensor(TABLE, dtype=torch.float32, device="cpu"), pd.DataFrame(TABLE)):
        assert exercises.judging.judged(exercise, answer).right


def test_a_dict_says_what_is_missing_and_what_is_right():
    exercise = values(
        lambda: {"I": 1, "II": 2}, (lambda: {"I": 2, "II": 1}, "exchanged"), what="two numbers", hint="look again."
    )
    said = {str(answer): exercises.judging.judged(exercise, answer).said for answer in ({"I": 1}, {"I": 1, "II": 9}, 5)}
    assert said["{'I': 1}"] == "not yet: II is missing."
    assert said["{'I': 1, 'II': 9}"] == "not yet: look again. Right so far: I."
    assert "a dict is needed" in said["5"]
    assert exercises.judging.judged(exercise, {"I": ..., "II": ...}).said == UNANSWERED
    assert exercises.judging.judged(exercise, {"I": 1, "II": ...}).said == "not yet: look again. Right so far: I."
    assert exercises.judging.judged(exercise, {"I": 2, "II": 1}).said == "not yet: exchanged"


def test_a_function_is_called_and_cannot_spoil_the_arguments():
    def doubled_in_place(x):
        x *= 2
        return x

    exercise = function(lambda x: 2 * x, tries=lambda: [(np.arange(3.0),)], what="doubles", hint="double it")
    assert exercises.judging.judged(exercise, doubled_in_place).right
    said = exercises.judging.judged(exercise, lambda x: x[7]).said
    assert "IndexError" in said
    assert "doubles" in said


def test_words_are_compared_without_capitals_and_spaces():
    exercise = word("both", ("neither", "look again."), what="a word")
    assert exercises.judging.judged(exercise, " Both. ").right
    assert exercises.judging.judged(exercise, "all").said == "not yet: the answer must be one of 'both', 'neither'."


def test_conditions_are_asked_in_order():
    exercise = conditions(
        lambda: 4,
        (lambda x: x > 0, lambda: -2, "above 0"),
        (lambda x: x % 2 == 0, lambda: 3, "even"),
        (lambda x: x < 10, lambda: 12, lambda x: f"{x} is above 9"),
        what="a number",
    )
    assert [exercises.judging.judged(exercise, x).said for x in (-1, 3, 12, 8)] == [
        "not yet: above 0",
        "not yet: even",
        "not yet: 12 is above 9",
        "right.",
    ]
    assert "TypeError" in exercises.judging.judged(exercise, "x").said
