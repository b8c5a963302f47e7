"""Execute the chapters side by side before Sphinx reads them one after the other.

Each build executes every notebook that it reads, into a fresh jupyter-cache, from which MyST-NB then takes the outputs.
A notebook that fails isn't kept: MyST-NB executes it again, and says what is wrong in its own words. With each is kept
when that began and on which records, so that tests can tell whether its outputs are those of the present state.
"""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import ExecutionResult, single_nb_execution
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

# Each kernel takes memory.
AT_MOST = 4


def use_cache(app: Sphinx, config: Config) -> None:
    """Let MyST-NB look for outputs in the build's cache, and empty that."""
    if config.nb_execution_mode == "force":
        folder = Path(app.doctreedir).parent / ".jupyter_cache"
        shutil.rmtree(folder, ignore_errors=True)
        config.nb_execution_mode, config.nb_execution_cache_path = "cache", str(folder)


def execute(app: Sphinx, env: BuildEnvironment, pages: list[str]) -> None:
    """Execute the notebooks among the pages that will be read, as many at a time as there are cores, at most four."""
    paths = [path for path in (Path(env.doc2path(page)) for page in pages) if path.suffix == ".ipynb"]
    if app.config.nb_execution_mode != "cache" or not paths:
        return
    cores = os.cpu_count() or 1
    workers = min(cores, AT_MOST, len(paths))
    # A notebook's threads share the cores with the notebook beside it.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // workers)))
    told = {"begun": time.time(), "records": os.environ.get("ECGCOURSE_DATA") or os.environ.get("ECGCOURSE_BEATS")}

    def one(path: Path) -> ExecutionResult:
        notebook = nbformat.read(path, as_version=4)
        result = single_nb_execution(notebook, str(path.parent), app.config.nb_execution_timeout, allow_errors=False)
        logging.getLogger(__name__).info(f"{path.name}: executed in {result.time:.1f} seconds")
        return result

    # The later chapters train, so they take longest; begun first, none is left to run alone at the end.
    paths.sort(reverse=True)
    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(one, paths))
    cache = get_cache(app.config.nb_execution_cache_path)
    for path, result in zip(paths, results, strict=True):
        if result.err is None:
            bundle = CacheBundleIn(result.nb, str(path), data={"execution_seconds": result.time} | told)
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.connect("config-inited", use_cache)
    app.connect("env-before-read-docs", execute)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
