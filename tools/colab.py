"""Prove that every chapter runs where nothing but Python and the packages it needs is installed, as in Colab.

    python -m tools.colab [--versions lowest newest colab] [--torch VERSION] [--python PYTHON]

From the last commit: builds the wheel and checks it, then, for the lowest versions that ``pyproject.toml``
allows, for the newest ones and for those that Colab had (``tests/colab.txt``, meant for Python 3.13), makes a fresh
environment, copies the notebooks into an empty folder, and executes them.
The package isn't there at first: the setup cell of the first chapter has to install it, from a copy of this
repository in the place of its address. Packages come from the index that pip uses; their versions are worked out by uv.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from zipfile import ZipFile

import yaml

from tools.notebooks import failure

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "ecgcourse"
EXTRA = "chapters"
# The weights of two shipped networks are most of it.
MAX_WHEEL_BYTES = 2_000_000
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest", "colab": "highest"}
COLAB = ROOT / "tests" / "colab.txt"
# Settings of this shell that a stranger's machine doesn't have.
OWN_SETTINGS = ("ECGCOURSE_", "GIT_", "IPYTHON", "JUPYTER_", "MPL", "PYTHON", "VIRTUAL_ENV", "XDG_")
KERNEL = "fresh"


def call(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a command and return what it printed; raise RuntimeError with its last words when it fails."""
    done = subprocess.run([str(word) for word in command], env=env, capture_output=True, text=True)
    if done.returncode:
        words = " ".join(str(word) for word in command)
        raise RuntimeError(
            f"'{words}' ended with status {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    return done.stdout


def publish(target: Path) -> Path:
    """Make `target` a repository of this checkout's last commit: what isn't committed, nobody could install.

    It has a history of one commit, however much of its own this checkout has: pip's partial clone of a
    shallow repository would never end.
    """
    target.mkdir(parents=True)
    archive = target.with_suffix(".tar")
    call("git", "-C", ROOT, "archive", "--output", archive, "HEAD")
    # Python 3.11.2, which Debian 12 has, can't yet be told to unpack with care.
    call("tar", "-xf", archive, "-C", target)
    git = ("git", "-C", target, "-c", "user.name=course", "-c", "user.email=course@example.org")
    call(*git, "init", "--quiet")
    call(*git, "add", "--all", "--force")
    call(*git, "commit", "--quiet", "--message", "course")
    # pip asks for a clone without old files. A server of repositories grants that; on a disk, git has to be told to.
    for setting in ("allowFilter", "allowAnySHA1InWant"):
        call(*git, "config", f"uploadpack.{setting}", "true")
    return target


def build_wheel(source: Path, target: Path, *options: str) -> Path:
    """Build the package's wheel from the folder `source` into the folder `target`; `options` go to ``pip wheel``."""
    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *options, "--wheel-dir", target, source)
    (wheel,) = target.glob(f"{PACKAGE}-*.whl")
    return wheel


def wheel_problems(wheel: Path, source: Path) -> list[str]:
    """List what is wrong with a wheel: too large, without a file of the package in `source`, or with anything else."""
    size = wheel.stat().st_size
    problems = [f"{size} bytes; at most {MAX_WHEEL_BYTES}"] if size > MAX_WHEEL_BYTES else []
    held = {name for name in ZipFile(wheel).namelist() if not name.partition("/")[0].endswith(".dist-info")}
    files = (path for path in (source / PACKAGE).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    wanted = {path.relative_to(source).as_posix() for path in files}
    problems += [f"lacks {name}" for name in sorted(wanted - held)]
    return problems + [f"holds {name}, which isn't the package's" for name in sorted(held - wanted)]


def pinned_torch(constraints: Path) -> str:
    """Return the version of torch in a file of constraints."""
    lines = constraints.read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix("torch==") for line in lines if line.startswith("torch=="))


def resolve(source: Path, versions: str, torch: str, python: Path, target: Path) -> Path:
    """Write the `versions` (a key of RESOLUTIONS) of all packages, but this `torch`, as a file of constraints."""
    others = [line for line in COLAB.read_text(encoding="utf-8").splitlines() if not line.startswith("torch==")]
    given = [f"torch=={torch}", *(others if versions == "colab" else [])]
    target.with_suffix(".given").write_text("\n".join(given), encoding="utf-8")
    call(
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-build"),
        *("--resolution", RESOLUTIONS[versions], "--python", python, "--extra", EXTRA),
        *("--constraint", target.with_suffix(".given"), "--output-file", target, source / "pyproject.toml"),
    )
    return target


def environment(home: Path, source: Path) -> dict[str, str]:
    """A stranger's settings: an empty home, and `source` in the place of the repository's address."""
    address = yaml.safe_load((source / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)}
    return kept | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{source}.insteadOf",
        "GIT_CONFIG_VALUE_0": address,
    }


def install(venv: Path, wheel: Path, constraints: Path, env: dict[str, str]) -> str:
    """Install the wheel with what it needs, take the package itself away again; return the versions of the rest."""
    python = venv / "bin" / "python"
    wanted = (f"{wheel}[{EXTRA}]", "ipykernel")
    call(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, *wanted, env=env)
    call(python, "-m", "pip", "check", env=env)
    call(python, "-m", "pip", "uninstall", "--quiet", "--yes", PACKAGE, env=env)
    call(python, "-m", "ipykernel", "install", "--sys-prefix", "--name", KERNEL, env=env)
    return versions_in(venv, env)


def versions_in(venv: Path, env: dict[str, str]) -> str:
    """List what is installed but the package itself, a line each."""
    lines = call(venv / "bin" / "python", "-m", "pip", "freeze", "--all", env=env).splitlines()
    return "\n".join(line for line in lines if not line.startswith(PACKAGE))


def run_chapters(notebooks: list[Path], env: dict[str, str], venv: Path) -> list[str]:
    """Execute copies of the notebooks beside each other, print how long each took, and list what failed."""
    os.environ["JUPYTER_PATH"] = str(venv / "share" / "jupyter")
    failed = []
    for path in notebooks:
        start = time.perf_counter()
        error = failure(path, path.parent, env, kernel_name=KERNEL)
        outcome = error.splitlines()[0] if error else "ran"
        print(f"  {path.stem:<32}{time.perf_counter() - start:6.0f} s  {outcome}", flush=True)
        failed += [error] if error else []
    return failed


def prove(versions: str, torch: str, python: str, source: Path, wheel: Path, folder: Path) -> list[str]:
    """Execute every chapter in a fresh environment with the `versions`, and list what failed."""
    start = time.perf_counter()
    venv, home, work = folder / "venv", folder / "home", folder / "notebooks"
    for empty in (home, work):
        empty.mkdir(parents=True)
    call(python, "-m", "venv", venv)
    constraints = resolve(source, versions, torch, venv / "bin" / "python", folder / "constraints.txt")
    env = environment(home, source)
    print(f"\n{versions} versions, torch {torch}", flush=True)
    before = install(venv, wheel, constraints, env)
    print(" ", *before.split())
    print(f"  installed in {time.perf_counter() - start:.0f} s", flush=True)
    copies = [Path(shutil.copy(path, work)) for path in sorted((source / "book").glob("*.ipynb"))]
    failed = run_chapters(copies, env, venv)
    left = sorted(path.name for path in work.iterdir() if path not in copies)
    failed += [f"the chapters left files behind: {', '.join(left)}"] if left else []
    changed = sorted(set(versions_in(venv, env).splitlines()) ^ set(before.splitlines()))
    failed += [f"the chapters changed what was installed: {', '.join(changed)}"] if changed else []
    print(f"  {len(copies)} chapters, {len(failed)} failures, {time.perf_counter() - start:.0f} s in all", flush=True)
    return [f"{versions} versions: {error}" for error in failed]


def prove_all(folder: Path, resolutions: list[str], torch: str | None, python: str) -> list[str]:
    """Check the wheel, execute every chapter with the versions of each resolution, and list what failed."""
    source = publish(folder / "source")
    wheel = build_wheel(source, folder / "wheel")
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes", flush=True)
    failed = [f"{wheel.name} {problem}" for problem in wheel_problems(wheel, source)]
    for versions in resolutions:
        chosen = torch or pinned_torch(COLAB if versions == "colab" else ROOT / "constraints.txt")
        failed += prove(versions, chosen, python, source, wheel, folder / versions)
    return failed


def main(arguments: list[str] | None = None) -> str | None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="+", choices=RESOLUTIONS, default=list(RESOLUTIONS))
    parser.add_argument("--torch", help="one version for all; default: that of constraints.txt, for colab Colab's")
    parser.add_argument("--python", default=sys.executable, help="makes the environments; default: this one")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        try:
            failed = prove_all(Path(name), options.versions, options.torch, options.python)
        except RuntimeError as error:
            return str(error)
    return "\n\n".join(failed) or None


if __name__ == "__main__":
    sys.exit(main())
