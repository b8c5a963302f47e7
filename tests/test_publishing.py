"""What publishes this repository can't run here: what it names exists, it may do little, and it repeats no version."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tools import address

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = [path for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
FILES = [
    *(path for name in (".binder", ".devcontainer", ".github") for path in sorted((ROOT / name).rglob("*"))),
    ROOT / ".pre-commit-config.yaml",
]
FILES = [path for path in FILES if path.is_file()]
# Indexes that anybody can reach, and pages to read.
HOSTS = {"docs.pypi.org", "download.pytorch.org", "github.com", "pypi.org"}
# What each job may do beyond reading; nothing else may do anything.
RIGHTS = {
    ("book", "build"): {"contents": "read", "pages": "read"},
    ("book", "notebooks"): {"contents": "write"},
    ("book", "deploy"): {"pages": "write", "id-token": "write"},
    ("release", "publish"): {"id-token": "write"},
}
NEW = "https://github.com/some-body_corp/ecg.course"


def by_path(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(ROOT)))


def read(path: Path) -> dict:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)


def jobs() -> list[tuple[str, str, dict]]:
    """Every job with the names of its workflow and of itself."""
    return [(path.stem, name, job) for path in WORKFLOWS for name, job in read(path)["jobs"].items()]


def steps(job: dict) -> list[dict]:
    """The job's steps; none where it is another workflow."""
    return job.get("steps", [])


def commands() -> list[str]:
    """Every line that a shell gets."""
    scripts = [step["run"] for _, _, job in jobs() for step in steps(job) if "run" in step]
    scripts.append(read(ROOT / ".devcontainer" / "devcontainer.json")["postCreateCommand"])
    scripts.append((ROOT / ".binder" / "postBuild").read_text(encoding="utf-8"))
    scripts += [hook["entry"] for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    return [line for script in scripts for line in script.splitlines()]


@by_path(FILES)
def test_file_has_the_form_of_all_others(path: Path):
    text = path.read_bytes().decode("utf-8")
    assert text.endswith("\n") and not text.endswith("\n\n")
    assert not {"\r", "\t"} & set(text)
    assert not re.search(r" $", text, flags=re.MULTILINE)
    if path.suffix in {".json", ".yaml", ".yml"}:
        assert isinstance(read(path), dict)
        # Lists are indented, too, so every step is of two spaces.
        assert {len(line) - len(line.lstrip()) for line in text.splitlines()} <= set(range(0, 40, 2))


@by_path(FILES)
def test_file_names_no_other_hosts_and_no_folder_of_one_machine(path: Path):
    text = path.read_text(encoding="utf-8")
    assert {urlsplit(url).hostname for url in re.findall(r"https?://[^\s\"'<>]+", text)} <= HOSTS
    assert not re.search(r"(?<![\w.}])/(home|mnt|opt|private|root|srv|tmp|Users|var|work)/", text)
    assert f"/{address.PLACEHOLDER}/" not in text


@by_path(FILES)
def test_file_repeats_no_version_of_a_package(path: Path):
    text = path.read_text(encoding="utf-8")
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for pin in [Requirement(line) for line in lines if not line.startswith("#")]:
        assert not re.search(rf"(?<![\w-]){re.escape(pin.name)}\W{{1,4}}v?\d", text, flags=re.IGNORECASE)
        version = str(pin.specifier).removeprefix("==")
        assert version.count(".") < 2 or not re.search(rf"(?<![\d.]){re.escape(version)}(?![\d.])", text)
    assert not re.search(r"[=<>~]=\s*\d|\brev:", text)


@by_path(WORKFLOWS)
def test_workflow_may_read_and_never_runs_twice(path: Path):
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    group = workflow["concurrency"]["group"]
    # A workflow that another one calls would wait for its caller in a group of the same name.
    assert group.startswith(path.stem)


def test_jobs_have_no_rights_but_these():
    assert {(file, name): job["permissions"] for file, name, job in jobs() if "permissions" in job} == RIGHTS


def test_jobs_end_in_time_and_wait_for_jobs_that_exist():
    for path in WORKFLOWS:
        known = read(path)["jobs"]
        for job in known.values():
            needs = job.get("needs", [])
            assert ({needs} if isinstance(needs, str) else set(needs)) <= set(known)
            # A workflow that is called as a job has jobs with bounds of their own.
            assert "uses" in job or 0 < job["timeout-minutes"] <= 150
    called = [job["uses"] for _, _, job in jobs() if "uses" in job]
    assert all((ROOT / name).is_file() for name in called)


def test_actions_are_pinned_to_a_major_version_the_same_everywhere():
    used = [step["uses"] for _, _, job in jobs() for step in steps(job) if "uses" in step]
    assert all(re.fullmatch(r"(actions/[\w-]+@v\d+|pypa/gh-action-pypi-publish@release/v1)", one) for one in used)
    assert len(set(used)) == len({one.partition("@")[0] for one in used})


def test_only_the_job_that_pushes_keeps_credentials():
    keeping = {
        (file, name)
        for file, name, job in jobs()
        for step in steps(job)
        if step.get("uses", "").startswith("actions/checkout@")
        and step.get("with", {}).get("persist-credentials", True)
    }
    assert keeping == {("book", "notebooks")}


def test_nothing_from_outside_is_written_into_a_script():
    """An expression in a script would be replaced before a shell reads it: a name could be a command."""
    assert [line for line in commands() if "${{" in line] == []


def test_every_goal_of_make_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    goals = set(re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)[1].split()) | {".venv/.test"}
    named = [word for line in commands() for word in re.findall(r"(?:^|\s)make (\S+)", line)]
    assert set(named) == {"address", "book", "test", ".venv/.test"} <= goals
    # In the Makefile's own words.
    assert {"VENV := .venv", "FOR_TEST := $(VENV)/.test"} <= set(makefile.splitlines())
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8") + (
        ROOT / ".github/pull_request_template.md"
    ).read_text()
    assert set(re.findall(r"`make (\w+)", page)) <= goals


@by_path(FILES)
def test_every_path_of_the_repository_exists(path: Path):
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w./-])(?:\.ci|\.github|book|ecgcourse|tests|tools)/[\w./-]*\w", text)
    named += re.findall(r"(?<![\w./-])(?:constraints|requirements|CHANGELOG|CONTRIBUTING|README)\.\w+", text)
    assert [name for name in named if not (ROOT / name).exists() and name != "book/_build/html"] == []


def test_pythons_are_ones_that_the_package_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (conda,) = re.findall(r"python=(\S+)", (ROOT / "environment.yml").read_text(encoding="utf-8"))
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    tested = set(re.findall(r"\"(3\.\d+)\"", text))
    assert tested == {"3.11", "3.13"}
    assert all(SpecifierSet(project["requires-python"]).contains(python) for python in tested)
    assert (ROOT / ".binder" / "runtime.txt").read_text(encoding="utf-8") == f"python-{conda}\n"
    assert read(ROOT / ".devcontainer" / "devcontainer.json")["image"].endswith(f":{conda}")


def test_binder_installs_the_package_with_the_pins_and_pytorch_for_processors():
    lines = (ROOT / ".binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    *options, package = [line for line in lines if not line.startswith("#")]
    (index,) = re.findall(r"^TORCH_INDEX \?= (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert options == ["--constraint ../constraints.txt", f"--extra-index-url {index.replace('$(TORCH)', 'cpu')}"]
    assert package == "--editable .[chapters]"
    assert os.access(ROOT / ".binder" / "postBuild", os.X_OK)


def test_what_runs_before_a_commit_is_what_make_test_runs():
    (repo,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    entries = [hook["entry"].split() for hook in repo["hooks"]]
    assert repo["repo"] == "local" and {hook["language"] for hook in repo["hooks"]} == {"system"}
    assert [entry[:2] for entry in entries[:2]] == [[".venv/bin/ruff", "check"], [".venv/bin/ruff", "format"]]
    assert entries[2] == [".venv/bin/python", "tools/notebooks.py", "tidy"]


@by_path(FORMS)
def test_form_asks_something_and_names_each_answer(path: Path):
    form = read(path)
    assert {"name", "description", "body"} <= set(form)
    asked = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in asked}) == len(asked)
    assert any(field.get("validations", {}).get("required") for field in asked)


def test_a_placeholder_is_refused_before_anything_is_published():
    for workflow, job in (("book", "build"), ("book", "notebooks"), ("release", "build")):
        runs = [
            step.get("run", step.get("uses"))
            for step in read(ROOT / f".github/workflows/{workflow}.yml")["jobs"][job]["steps"]
        ]
        (check,) = [place for place, run in enumerate(runs) if run.endswith("python tools/address.py --check")]
        published = [place for place, run in enumerate(runs) if re.search("make book|git push|uv build|upload-", run)]
        assert published and check < min(published)


@pytest.fixture
def fork(tmp_path: Path) -> Path:
    """The files of this checkout that have an address, in a folder of their own."""
    for path in address.files(ROOT):
        if "tests" not in path.relative_to(ROOT).parts:
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return tmp_path


def test_in_a_fork_every_address_is_its_own(fork: Path):
    address.change(fork, NEW, "published")
    assert address.left(fork) == [] and address.check(fork) is None
    settings = yaml.safe_load((fork / "_config.yml").read_text(encoding="utf-8"))["repository"]
    assert (settings["url"], settings["branch"]) == (NEW, "published")
    readme = (fork / "README.md").read_text(encoding="utf-8")
    colab = set(re.findall(r"https://colab[^)]*?/github/(.*?)/book/\d\d_", readme))
    assert colab == {"some-body_corp/ecg.course/blob/published"}
    installs = [
        re.findall(r"git\+(https:[^\\\"]*)", path.read_text(encoding="utf-8")) for path in fork.glob("book/*.ipynb")
    ]
    assert installs and {tuple(found) for found in installs} == {(NEW,)}


def test_without_a_branch_it_stays(fork: Path):
    address.change(fork, NEW)
    assert "  branch: main\n" in (fork / "_config.yml").read_text(encoding="utf-8")
    assert "/blob/main/book/" in (fork / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("branch", ["", "--force", "a b", "a\nb"])
def test_what_is_no_branch_changes_nothing(branch: str, fork: Path):
    before = (fork / "_config.yml").read_bytes()
    with pytest.raises(ValueError, match="branch"):
        address.change(fork, NEW, branch)
    assert (fork / "_config.yml").read_bytes() == before


def test_check_names_every_file_with_the_placeholder_and_what_to_do(tmp_path: Path):
    link = f"https://github.com/{address.PLACEHOLDER}/ecgcourse"
    for name in ("a.py", "book/page.md", "tests/test_it.py", "x.egg-info/PKG-INFO", "book/_build/a.html", ".venv/a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(link, encoding="utf-8")
    (tmp_path / "prose.md").write_text(f"The word {address.PLACEHOLDER} is no address.", encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    assert address.left(tmp_path) == [tmp_path / "a.py", tmp_path / "book" / "page.md"]
    words = address.check(tmp_path)
    assert "a.py, book/page.md" in words and "make address URL=" in words


def test_check_of_this_checkout():
    url = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    assert (address.main(["--check"]) is None) == (address.PLACEHOLDER not in url)


def test_binder_has_the_address_too():
    button = "https://mybinder.org/v2/gh/-owner-/ecgcourse/main"
    assert address.replace(button, "-owner-/ecgcourse", "a/b") == "https://mybinder.org/v2/gh/a/b/main"


@pytest.fixture
def work(tmp_path: Path):
    """A repository with this Makefile, in which the tools only say what they are asked for."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    names = ["ecgcourse/models/gru.py", "ecgcourse/fields.py", "ecgcourse/plots.py", "tests/conftest.py"]
    names += [f"tests/test_{name}.py" for name in ("models", "fields", "plots")] + ["tests/notebooks/test_rules.py"]
    names += ["pyproject.toml", "constraints.txt", ".venv/bin/ruff", ".venv/bin/python"]
    names += [".venv/.python", ".venv/.book", ".venv/.test"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text(".venv/\n", encoding="utf-8")
    for name in ("ruff", "python"):
        (tmp_path / ".venv" / "bin" / name).write_text(f'#!/bin/sh\necho {name} "$@"\n', encoding="utf-8")
        (tmp_path / ".venv" / "bin" / name).chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "MAKE", "MFLAGS"))}

    def call(*command: str) -> str:
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout

    call("git", "init", "--quiet")
    call("git", "add", "--all")
    call("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "a")

    def quick() -> tuple[list[str], str]:
        said = call("make", "quick")
        return re.findall(r"tests/\S+", said), said

    yield tmp_path, quick


def test_quick_without_a_change_lints_and_says_so(work):
    _, quick = work
    tests, said = quick()
    assert tests == [] and "ruff check" in said and "ruff format --check" in said
    assert "No test file belongs to what changed" in said and "pytest" not in said


def test_quick_takes_the_tests_of_what_changed(work):
    folder, quick = work
    (folder / "ecgcourse" / "models" / "gru.py").write_text("1\n", encoding="utf-8")
    (folder / "tests" / "conftest.py").write_text("1\n", encoding="utf-8")
    assert quick()[0] == ["tests/test_models.py"]
    # New ones, staged ones and removed ones.
    (folder / "tests" / "notebooks" / "test_new.py").touch()
    (folder / "tests" / "test_models.py").unlink()
    (folder / "ecgcourse" / "plots.py").unlink()
    assert quick()[0] == ["tests/notebooks/test_new.py", "tests/test_plots.py"]


def test_quick_ends_in_time_with_what_it_has(tmp_path: Path):
    """The Makefile's own line of Python: a test that takes too long neither fails nor passes."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (code,) = re.findall(r"^MOST := (.*?[^\\])\n", makefile, flags=re.MULTILINE | re.DOTALL)
    code = code.replace("\\\n", "").replace("$(SECONDS_OF_TESTS)", "5")
    (tmp_path / "test_slow.py").write_text("import time\ndef test_slow(): time.sleep(60)\n", encoding="utf-8")
    command = [sys.executable, "-c", code, "--quiet", "--exitfirst", "-n", "1", "test_slow.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0
    assert "not every test ran" in done.stdout and "passed" not in done.stdout
