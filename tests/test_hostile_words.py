"""Every option and argument of every command, given what nobody should type: done right, or refused in one line."""

import argparse
import functools
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from damage import HOSTILE, OUT_OF_MEMORY, SIZE, check_message, in_time
from hypothesis import given
from hypothesis import strategies as st

from ecgcourse import (
    cli,
    cli_parameters,
    cli_words,
    datasets,
    download,
    integrity,
    original,
    pooled,
    practice,
    predictions,
    training,
)
from ecgcourse.models import checkpoint

COMMANDS = next(
    each for each in cli_words.make_parser()._actions if isinstance(each, argparse._SubParsersAction)
).choices
GRID = Path(__file__).resolve().parents[1] / "experiments" / "recurrent.toml"
# What each command needs beside the word in question.
NEEDED = {
    "practice": ["out"],
    "download": ["out", "--base-url", "http://127.0.0.1:9/"],
    "import-original": ["folder", "out"],
    "images": ["DATA", "out", "--size", str(SIZE)],
    "train": ["DATA", "--model", "compact", "--size", "16", "--out", "run"],
    "calibrate": ["run", "--data", "DATA"],
    "evaluate": ["run", "--data", "DATA"],
    "compare": ["run"],
    "sweep": ["GRID", "DATA"],
    "contest": ["DATA"],
    "predict": ["run", "file.csv"],
    "export": ["run", "out.pt2"],
    "parameters": ["gru"],
}
WITH_VALUE = [
    (name, action.option_strings[0])
    for name, parser in COMMANDS.items()
    for action in parser._actions
    # The hidden ones are former names, which warn.
    if action.option_strings and action.nargs != 0 and action.help != argparse.SUPPRESS
]
ARGUMENTS = [
    (name, place)
    for name, parser in COMMANDS.items()
    for place, action in enumerate(each for each in parser._actions if not each.option_strings)
]
NUMBERS = (
    "0",
    "1",
    "-1",
    "10",
    "1e3",
    "0x10",
    "1_0",
    "+5",
    " 7 ",
    "5.",
    "1e-400",
    "2" * 19,
    "2" * 4000,
    "٣",
    "½",
    "-0.0",
    "-inf",
)
# A shell can't hand over NUL; what isn't UTF-8 arrives as halves of surrogates.
WORDS = sorted(
    {
        word.replace("\0", "\udcff")
        for word in (*HOSTILE, *NUMBERS, "a\udc80b", "--help=", "--", "-", "$x^{$", "/dev/null/x")
    }
)
words = st.one_of(
    st.sampled_from(WORDS),
    st.integers().map(str),
    st.floats().map(str),
    # Hypothesis also tries texts from the package's own code; those that tell of memory would be quoted in a refusal,
    # where they are what was typed and not what happened.
    st.text(st.characters(exclude_characters="\0/~"), max_size=20).filter(lambda text: not OUT_OF_MEMORY.search(text)),
)


class Reached(BaseException):
    """The words were taken, and the work would begin; no error, which the command would tell in a line."""


def begin(*_: object, **__: object) -> None:
    raise Reached


@pytest.fixture(scope="module", autouse=True)
def no_work(practice_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty working folder, in which no command goes beyond its checks."""
    here = tmp_path_factory.mktemp("words") / "deep" / "er"
    here.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv("ECGCOURSE_DATA", str(practice_root))
        patch.setattr(practice, "atomic_folder", begin)
        patch.setattr(download, "_work_folder", begin)
        patch.setattr(integrity, "folder_checksums", begin)
        patch.setattr(original, "write_arrays", begin)
        patch.setattr(datasets, "atomic_folder", begin)
        # One parser for all words of a command: making it takes longer than all the rest.
        made = functools.cache(cli_words.make_parser)
        patch.setattr(cli_words, "make_parser", lambda filled: made(tuple(filled)))
        # Before the model is made, which may be as large as the memory.
        patch.setattr(training, "seed_everything", begin)
        patch.setattr(checkpoint, "read_checkpoint", begin)
        patch.setattr(predictions.Predictions, "read", begin)
        patch.setattr(pooled.Pooled, "open", begin)
        patch.setattr(cli_parameters, "print_layers", begin)
        patch.setattr(cli_parameters, "print_models", begin)
        yield here


def outcome(given_words: list[str], capsys: pytest.CaptureFixture[str]) -> str | None:
    """Run a command: None where the work would begin, else the line with which it was refused."""
    capsys.readouterr()
    try:
        with in_time():
            status = cli.main(given_words)
    except Reached:
        return None
    out, error = capsys.readouterr()
    assert (status, out) == (2, ""), (given_words, status, out)
    assert error.startswith("error: ") and error.endswith("\n") and error.count("\n") == 1
    check_message(error[:-1], [""])
    return error


def options_of(given_words: list[str]) -> dict:
    return vars(cli_words.parse(given_words))


def assert_usable(value: object) -> None:
    """A number that can be worked with, or text, or several of them."""
    if isinstance(value, tuple | list):
        assert value
        for each in value:
            assert_usable(each)
        return
    if isinstance(value, int | float):
        assert math.isfinite(value) and value >= 0
    else:
        assert value is None or isinstance(value, str)


def filled(name: str, practice_root: Path) -> list[str]:
    known = {"DATA": str(practice_root), "GRID": str(GRID)}
    return [known.get(word, word) for word in NEEDED[name]]


@pytest.mark.parametrize(("name", "flag"), WITH_VALUE)
@given(word=words)
def test_a_value_is_usable_or_refused(
    name: str, flag: str, word: str, practice_root: Path, no_work: Path, capsys: pytest.CaptureFixture[str]
):
    given_words = [name, *filled(name, practice_root), f"{flag}={word}"]
    if outcome(given_words, capsys) is None:
        options = options_of(given_words)
        # Values of the model's own settings are its own to check.
        assert all(key.isidentifier() for key, _ in options.pop("set", ()))
        for value in options.values():
            if not callable(value):
                assert_usable(value)
    assert list(no_work.iterdir()) == []


@pytest.mark.parametrize(("name", "place"), ARGUMENTS)
@given(word=words)
def test_an_argument_is_usable_or_refused(
    name: str, place: int, word: str, practice_root: Path, no_work: Path, capsys: pytest.CaptureFixture[str]
):
    given_words = filled(name, practice_root)
    given_words[place] = word
    outcome([name, *given_words], capsys)
    assert list(no_work.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_usual_words_are_taken(name: str, practice_root: Path, capsys: pytest.CaptureFixture[str]):
    assert outcome([name, *filled(name, practice_root)], capsys) is None
