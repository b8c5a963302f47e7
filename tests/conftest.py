"""What several test modules share: the data sets, and a cache of their own."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from mirror import Mirror, write_tree

from ecgcourse import practice, ptbxl, transfer

# The same examples every time, and nothing kept on the disk. HYPOTHESIS_PROFILE=thorough looks for new ones.
_USUAL = {"deadline": None, "database": None, "suppress_health_check": list(hypothesis.HealthCheck)}
hypothesis.settings.register_profile("usual", max_examples=40, derandomize=True, **_USUAL)
hypothesis.settings.register_profile("thorough", max_examples=300, **_USUAL)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the tests out of the user's cache folder."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECGCOURSE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def practice_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic data set of 60 records."""
    return practice.write(tmp_path_factory.mktemp("practice") / "data", n_records=60)


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic data set of 150 records: enough to train on and to judge by, in which each class occurs."""
    return practice.write(tmp_path_factory.mktemp("small") / "data", n_records=150, seed=2)


@pytest.fixture(scope="session")
def real_root() -> Path:
    """The PTB-XL folder that $ECGCOURSE_DATA names."""
    named = os.environ.get("ECGCOURSE_DATA")
    if not named:
        pytest.skip("ECGCOURSE_DATA isn't set: no real records to test on")
    if not ptbxl.is_ptbxl(named):
        pytest.skip(f"ECGCOURSE_DATA names {named}, which isn't a PTB-XL folder")
    return Path(named)


@pytest.fixture(scope="session", params=["practice", "real"])
def root(request: pytest.FixtureRequest) -> Path:
    """The same test on synthetic and on real records."""
    return request.getfixturevalue(f"{request.param}_root")


@pytest.fixture(scope="session")
def ptbxl_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a server of PTB-XL has, with few records."""
    return write_tree(tmp_path_factory.mktemp("tree") / "1.0.3")


@pytest.fixture
def mirror(ptbxl_tree: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A server of it on this machine, which is asked again soon."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "RETRY", transfer.RETRY.new(total=3, backoff_factor=0.01, backoff_jitter=0))
    monkeypatch.setattr(transfer, "TIMEOUT", 0.4)
    with Mirror(ptbxl_tree) as served:
        yield served
