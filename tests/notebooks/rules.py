"""The rules that every notebook of the book keeps. Each rule takes a notebook and lists what breaks it.

A notebook is read, never executed; whether its outputs are still true is for ``pytest --nbval book/``.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import fed
import nbformat
import yaml

from tools.notebooks import METADATA, minutes

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"

MAX_BYTES = 1_500_000
MAX_LINES = 15
MAX_WORDS = 2000
MAX_OPEN_CELLS = 30
# Those that measure time, or print what a training came to, which differs from machine to machine.
MAX_IGNORED_CELLS = 16
MIN_ALT_CHARACTERS = 30
SECTIONS = (
    "What you will be able to do",
    "What you need",
    "What to remember",
    "Test yourself",
    "Exercises",
    "Where to read on",
)
# Chapters that tell a mistake, or a choice, of the original's code; the others are all in cases.ipynb.
CASES = (3, 7, 13, 16)
MOST_REMEMBERED = 5
FEWEST_WORDS = 8
QUESTIONS = range(3, 6)
EXERCISES = range(3, 6)
KINDS = ("find the fault", "do better: ")
NO_ANSWER = "no answer yet"
INSTALL = """\
import importlib.util

if importlib.util.find_spec("ecgcourse") is None:
    %pip install --quiet "ecgcourse[chapters] @ git+{address}\""""

_MAGIC = re.compile(r"^\s*(%|!)", re.MULTILINE)
_MYST = re.compile(r"^\s*(```+|:::+)\s*\{|^\s*:::|\{[\w:-]+\}`|^\s*\([\w-]+\)=\s*$", re.MULTILINE)
_MACHINE_PATH = re.compile(r"(?<![\w.])/(home|root|tmp|Users|opt|mnt|work|content|var)/|\b[A-Z]:\\")
_MEMORY_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")
_LINK = re.compile(r"\]\((?!https?:|mailto:|#|data:)([^)#\s]+)")
_FED = re.compile(r"\b(is|are) fed\b")
_UNCERTAIN = re.compile(r"perf_counter|timeit|\bfit\(|\btrain")

Notebook = nbformat.NotebookNode
Rule = Callable[[Notebook], list[str]]

# What moves a network to the device that is picked, unless one is named.
_CALCULATES = ("training.TrainConfig", "training.predict")


def read(path: Path) -> Notebook:
    """Read a notebook; `path` goes with it, because some rules ask for the file's name."""
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    notebook.path = path
    return notebook


def address() -> str:
    """Return the repository's address, which stands in ``_config.yml``."""
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]


def public_names() -> set[str]:
    """List the functions and classes that the package's modules define without a leading underscore.

    Solutions of exercises don't count: a notebook defines them too.
    """
    paths = (path for path in (ROOT / "ecgcourse").rglob("*.py") if path.parent.name != "exercises")
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in paths)
    return {name for tree in trees for name in _definitions(tree.body) if not name.startswith("_")}


def code_cells(notebook: Notebook) -> list[Notebook]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook: Notebook) -> str:
    """Join the Markdown cells, fenced code left out."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.sub(r"^```[^{\n]*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def is_chapter(path: Path) -> bool:
    """Whether a notebook is a numbered chapter; the others are pages beside them."""
    return bool(re.match(r"\d\d_", path.name))


def figure_prefix(notebook: Notebook) -> str:
    """Return what the names of a notebook's figures start with: its chapter's number or its own name."""
    path = notebook.path
    return f"fig-ch{path.name[:2]}-" if is_chapter(path) else f"fig-{path.stem}-"


def headings(notebook: Notebook) -> list[tuple[int, str]]:
    """List the headings as (level, text)."""
    found = re.findall(r"^(#{1,6}) +(.+?)\s*$", prose(notebook), flags=re.MULTILINE)
    return [(len(marks), text) for marks, text in found]


def tags(cell: Notebook) -> list[str]:
    return cell.metadata.get("tags", [])


def figures(cell: Notebook) -> int:
    """Count the images that a cell shows."""
    return sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def output_texts(cell: Notebook) -> Iterator[str]:
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        yield from (text for kind, text in output.get("data", {}).items() if kind.startswith("text/"))


def _definitions(body: list[ast.stmt]) -> list[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [statement.name for statement in body if isinstance(statement, kinds)]


def _trees(notebook: Notebook) -> Iterator[ast.Module]:
    """Parse every code cell but the one that installs, whose ``%pip`` is not Python."""
    for cell in code_cells(notebook)[1:]:
        yield ast.parse(cell.source)


def _failing(cells: list[Notebook], fails: Callable[[Notebook], object], what: str) -> list[str]:
    return [f"{cell.id}: {what}" for cell in cells if fails(cell)]


def is_tidy(notebook: Notebook) -> list[str]:
    """Metadata and cell ids are those that ``tools/notebooks.py`` writes."""
    ids = [f"cell-{number:02d}" for number in range(len(notebook.cells))]
    tidy = (
        (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
        and notebook.metadata == METADATA
        and [cell.id for cell in notebook.cells] == ids
        and not any("execution" in cell.metadata for cell in notebook.cells)
    )
    return [] if tidy else [f"not in the committed form: python tools/notebooks.py tidy {notebook.path}"]


def is_small(notebook: Notebook) -> list[str]:
    size = notebook.path.stat().st_size
    return [f"{size} bytes; at most {MAX_BYTES}"] if size > MAX_BYTES else []


def starts_with_numbered_title(notebook: Notebook) -> list[str]:
    first = notebook.cells[0]
    number = int(notebook.path.name[:2])
    if first.cell_type != "markdown" or not first.source.startswith(f"# {number}. "):
        return [f"the first cell must start with '# {number}. Title'"]
    titles = [text for level, text in headings(notebook) if level == 1]
    return [] if len(titles) == 1 else [f"more than one level-1 heading: {titles}"]


def starts_with_title(notebook: Notebook) -> list[str]:
    """A page beside the chapters has one title, without a number."""
    titles = [text for level, text in headings(notebook) if level == 1]
    first = notebook.cells[0]
    if first.cell_type != "markdown" or not re.match(r"# [^\d\s]", first.source):
        return ["the first cell must start with '# Title', without a number"]
    return [] if len(titles) == 1 else [f"more than one level-1 heading: {titles}"]


def installs_only_where_missing(notebook: Notebook) -> list[str]:
    """The first code cell, and only it, installs; it is the same in all notebooks."""
    first, *others = code_cells(notebook)
    problems = []
    if first.source != INSTALL.format(address=address()) or "hide-input" not in tags(first):
        problems.append("the first code cell is not the common one that installs, tagged hide-input")
    return problems + _failing(others, lambda cell: _MAGIC.search(cell.source), "no magics, no shell lines")


def was_run_top_to_bottom(notebook: Notebook) -> list[str]:
    counts = [cell.execution_count for cell in code_cells(notebook)]
    return [] if counts == list(range(1, len(counts) + 1)) else [f"execution counts are {counts}"]


def ended_without_complaint(notebook: Notebook) -> list[str]:
    """No error and nothing on stderr: no warnings, no progress bars."""

    def complains(cell: Notebook) -> bool:
        return any(out.output_type == "error" or out.get("name") == "stderr" for out in cell.outputs)

    return _failing(code_cells(notebook), complains, "has an error or text on stderr among its outputs")


def names_no_machine(notebook: Notebook) -> list[str]:
    """No path of somebody's machine and no memory address, which the next run would print differently."""

    def names_one(cell: Notebook) -> bool:
        texts = [cell.source, *output_texts(cell)]
        return any(_MACHINE_PATH.search(text) or _MEMORY_ADDRESS.search(text) for text in texts)

    return _failing(notebook.cells, names_one, "names a path of a machine or a memory address")


def has_short_cells(notebook: Notebook) -> list[str]:
    cells = code_cells(notebook)
    return [
        *_failing(cells, lambda cell: not cell.source.strip(), "is empty"),
        *_failing(cells, lambda cell: len(cell.source.splitlines()) > MAX_LINES, f"more than {MAX_LINES} lines"),
    ]


def uses_the_package(notebook: Notebook) -> list[str]:
    for tree in _trees(notebook):
        for node in ast.walk(tree):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            if any(module.split(".")[0] == "ecgcourse" for module in modules):
                return []
    return ["does not import ecgcourse"]


def defines_nothing_of_the_package(notebook: Notebook) -> list[str]:
    """What the package has, a notebook calls. A version by hand ends in ``_by_hand``."""
    taken = public_names()
    defined = (name for tree in _trees(notebook) for name in _definitions(tree.body))
    return [f"defines {name}, which the package has" for name in defined if name in taken]


def is_portable(notebook: Notebook) -> list[str]:
    """No MyST, which Colab, JupyterLab and GitHub would show raw."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    return _failing(cells, lambda cell: _MYST.search(cell.source), "has a MyST directive, role or label")


def links_to_what_exists(notebook: Notebook) -> list[str]:
    targets = _LINK.findall(prose(notebook))
    return [f"links to {target}, which is not there" for target in targets if not (BOOK / target).exists()]


def links_its_words(notebook: Notebook) -> list[str]:
    """A chapter links special words to the glossary, each once: where it is first needed."""
    words = re.findall(r"glossary\.md#([\w-]+)", prose(notebook))
    problems = [f"links to the word {word} {n} times, not once" for word, n in Counter(words).items() if n > 1]
    if len(words) < FEWEST_WORDS:
        problems.append(f"links to {len(words)} words of the glossary, not to {FEWEST_WORDS} or more")
    return problems


def describes_its_figures(notebook: Notebook) -> list[str]:
    """Every figure has alt text, a caption and a name, and is followed by prose that reads it."""
    problems = []
    followers = [*notebook.cells[1:], None]
    for cell, follower in zip(notebook.cells, followers, strict=True):
        if figures(cell):
            problems += [f"{cell.id}: {problem}" for problem in _figure_problems(notebook, cell, follower)]
    return problems


def _figure_problems(notebook: Notebook, cell: Notebook, follower: Notebook | None) -> Iterator[str]:
    settings = cell.metadata.get("mystnb", {})
    if figures(cell) > 1:
        yield "shows more than one figure"
    if len(settings.get("image", {}).get("alt", "")) < MIN_ALT_CHARACTERS:
        yield f"mystnb.image.alt has fewer than {MIN_ALT_CHARACTERS} characters"
    if not settings.get("figure", {}).get("caption"):
        yield "mystnb.figure.caption is missing"
    if not settings.get("figure", {}).get("name", "").startswith(figure_prefix(notebook)):
        yield f"mystnb.figure.name does not start with {figure_prefix(notebook)}"
    if follower is None or follower.cell_type != "markdown":
        yield "no Markdown cell after the figure says what to see in it"


def says_what_is_fed(notebook: Notebook) -> list[str]:
    """Millivolts behind the causal filter, whose ST segments no one may read, are drawn as what a network is fed."""
    known: set[str] = set()
    helpers: set[str] = set()
    problems = []
    for cell, tree in zip(code_cells(notebook)[1:], _trees(notebook), strict=True):
        fed.follow(tree.body, known)
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        helpers |= {function.name for function in functions if fed.draws_millivolts(function, helpers)}
        draws = figures(cell) and fed.draws_millivolts(tree, helpers) and fed.reads_causal(tree, known)
        if draws and not _FED.search(cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "")):
            problems.append(f"{cell.id}: draws mV after the causal filter, and its caption doesn't say 'as … is fed'")
    return problems


def says_where_it_calculates(notebook: Notebook) -> list[str]:
    """A network lies where the chapter's tensors lie, also on a machine with a GPU: all named, or all picked alike."""
    nodes = [node for tree in _trees(notebook) for node in ast.walk(tree)]
    if any(isinstance(node, ast.Attribute) and node.attr == "pick_device" for node in nodes):
        return []
    named = {
        key.value for node in nodes if isinstance(node, ast.Dict) for key in node.keys if isinstance(key, ast.Constant)
    }
    calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) in _CALCULATES]
    return [
        f"{ast.unparse(call.func)} names no device"
        for call in calls
        if not any(each.arg == "device" or (each.arg is None and "device" in named) for each in call.keywords)
    ]


def has_the_sections(notebook: Notebook) -> list[str]:
    levels = [level for level, _ in headings(notebook)]
    jumps = [level for before, level in zip(levels, levels[1:], strict=False) if level > before + 1]
    problems = ["a heading skips a level"] if jumps else []
    sections = [text for level, text in headings(notebook) if level == 2]
    if [text for text in sections if text in SECTIONS] != list(SECTIONS):
        problems.append(f"level-2 sections must include, in this order: {', '.join(SECTIONS)}")
    elif sections[:2] != list(SECTIONS[:2]) or sections[-4:] != list(SECTIONS[-4:]):
        problems.append("a chapter's own sections stand between 'What you need' and 'What to remember'")
    return problems


def section(notebook: Notebook, title: str) -> str:
    """Join the Markdown of one level-2 section, without its heading; "" where there is none."""
    parts = re.split(r"^## +(.+?)\s*$", prose(notebook), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(title, "")


def says_what_is_needed(notebook: Notebook) -> list[str]:
    """What you need: a table of concept, why and where; then the time, as ``tools/notebooks.py`` counts it."""
    text = section(notebook, "What you need")
    problems = [] if "| concept | why | where |" in text else ["'What you need' has no table concept, why, where"]
    stated = re.findall(r"\n\nTime: about (\d+) minutes", text)
    counted = minutes(notebook)
    return problems if stated == [str(counted)] else [*problems, f"'Time: about {counted} minutes' is not stated"]


def can_be_remembered(notebook: Notebook) -> list[str]:
    lines = re.findall(r"^- ", section(notebook, "What to remember"), flags=re.MULTILINE)
    return (
        []
        if 1 <= len(lines) <= MOST_REMEMBERED
        else [f"'What to remember' has {len(lines)} lines; at most {MOST_REMEMBERED}"]
    )


def asks_questions(notebook: Notebook) -> list[str]:
    """Test yourself: three to five questions, each with its answer folded below it."""
    asked = re.findall(
        r"<details>\s*<summary>[^<]+\?</summary>\n\n.+?\n\n</details>",
        section(notebook, "Test yourself"),
        flags=re.DOTALL,
    )
    return [] if len(asked) in QUESTIONS else [f"'Test yourself' has {len(asked)} folded questions, not 3 to 5"]


def teaches_its_case(notebook: Notebook) -> list[str]:
    cases = [text for level, text in headings(notebook) if level == 2 and text.startswith("A case: ")]
    return ["has no section 'A case: …'"] if int(notebook.path.name[:2]) in CASES and not cases else []


def is_short(notebook: Notebook) -> list[str]:
    """At most 2,000 words and 30 code cells; code that a text shows isn't counted, nor are cells that are folded."""
    folded = {"hide-cell", "hide-input"}
    counted = {
        "words": (len(prose(notebook).split()), MAX_WORDS),
        "open code cells": (sum(folded.isdisjoint(tags(cell)) for cell in code_cells(notebook)), MAX_OPEN_CELLS),
    }
    return [f"has {number} {what}, more than {most}" for what, (number, most) in counted.items() if number > most]


def names_real_records(notebook: Notebook) -> list[str]:
    found = prose(notebook).count("**With real records.**")
    return [] if found == 1 else [f"'**With real records.**' stands {found} times, not once"]


def reads_on_with_dois(notebook: Notebook) -> list[str]:
    return [] if "https://doi.org/" in section(notebook, "Where to read on") else ["'Where to read on' has no DOI"]


def solves_its_exercises(notebook: Notebook) -> list[str]:
    """Three to five exercises: a stub that was left open, then a folded solution that the check calls right."""
    starts = [number for number, cell in enumerate(notebook.cells) if _exercise(cell)]
    titles = [_exercise(notebook.cells[start]) for start in starts]
    problems = [] if len(starts) in EXERCISES else [f"{len(starts)} exercises, not 3 to 5"]
    for number, (start, title) in enumerate(zip(starts, titles, strict=True), start=1):
        key = f"{int(notebook.path.name[:2])}.{number}"
        stub, solution = [*notebook.cells[start + 1 : start + 3], None, None][:2]
        if not title.startswith(f"Exercise {number}: "):
            problems.append(f"'{title}' must be called Exercise {number}: …")
        if not _says(stub, key, NO_ANSWER) or tags(stub):
            problems.append(f"exercise {key}: no open stub cell with its check right below the text")
        if not _says(solution, key, "right.") or not _is_folded(solution):
            problems.append(f"exercise {key}: no folded solution that its check calls right, below the stub")
    return problems


def sets_both_kinds(notebook: Notebook) -> list[str]:
    """One exercise shows plausible work with a fault in it, another a result to do better than."""
    titles = [_exercise(cell).partition(": ")[2] for cell in notebook.cells]
    return [f"has no exercise '{kind}…'" for kind in KINDS if not any(title.startswith(kind) for title in titles)]


def _exercise(cell: Notebook) -> str:
    """Return the title of the exercise that a Markdown cell sets, or ""."""
    found = re.findall(r"^### +(Exercise .+?)\s*$", cell.source, flags=re.MULTILINE)
    return found[0] if cell.cell_type == "markdown" and found else ""


def _says(cell: Notebook | None, key: str, verdict: str) -> bool:
    is_code = cell is not None and cell.cell_type == "code"
    return (
        is_code
        and f'exercises.check("{key}"' in cell.source
        and f"Exercise {key}: {verdict}" in "".join(output_texts(cell))
    )


def _is_folded(cell: Notebook) -> bool:
    return "hide-cell" in tags(cell) and cell.metadata.get("mystnb", {}).get("code_prompt_show") == "Show solution"


def ignored_cells(notebook: Notebook) -> list[Notebook]:
    """List the cells whose output nbval does not compare."""
    return [cell for cell in code_cells(notebook) if {"nbval-ignore-output", "nbval-skip"} & set(tags(cell))]


def compares_its_outputs(notebook: Notebook) -> list[str]:
    """Only the output of measuring time or of training may differ between runs; no cell is skipped."""
    cells = ignored_cells(notebook)
    return [
        *_failing(cells, lambda cell: "nbval-skip" in tags(cell), "is skipped by nbval"),
        *_failing(cells, lambda cell: not _UNCERTAIN.search(cell.source), "is ignored by nbval without need"),
    ]


_COMMON_RULES: tuple[Rule, ...] = (
    is_tidy,
    is_small,
    installs_only_where_missing,
    was_run_top_to_bottom,
    ended_without_complaint,
    names_no_machine,
    has_short_cells,
    uses_the_package,
    defines_nothing_of_the_package,
    is_portable,
    links_to_what_exists,
    describes_its_figures,
    says_what_is_fed,
    says_where_it_calculates,
    compares_its_outputs,
)

RULES: tuple[Rule, ...] = (
    *_COMMON_RULES,
    starts_with_numbered_title,
    has_the_sections,
    says_what_is_needed,
    teaches_its_case,
    is_short,
    names_real_records,
    can_be_remembered,
    asks_questions,
    links_its_words,
    solves_its_exercises,
    sets_both_kinds,
    reads_on_with_dois,
)

# A page beside the chapters has no frame of sections, and no exercises.
PAGE_RULES: tuple[Rule, ...] = (*_COMMON_RULES, starts_with_title)
