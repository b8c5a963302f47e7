"""One file from a web server to the disk: bounded in size, and asked for again where that may help."""

import email.utils
import threading
import time
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urlsplit

import requests
import tenacity

from ecgcourse import __version__
from ecgcourse.errors import DataError, SettingError

_CHUNK = 1 << 16  # bytes
# Beside every 5xx: request timeout, too early, too many requests.
_PASSING_STATUS = (408, 425, 429)
_ABSENT_STATUS = (403, 404, 410)
_FINAL_ERRORS = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.TooManyRedirects,
)


class Absent(DataError):
    """The server answers that it doesn't have the file, or doesn't give it away."""


class WrongContent(DataError):
    """What arrived can't be the file that was asked for."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server that fails for the moment.

    Before try k + 1 there is a pause of ``first_wait * 2 ** (k - 1)`` s, at most `longest_wait`, and a random
    part of `first_wait` more, so that several connections don't come back together.

    Attributes
    ----------
    tries : int
        How often a file is asked for in all.
    first_wait, longest_wait : float
        Shortest and longest pause between two tries, s.
    longest_asked : float
        A pause that the server asks for (``Retry-After``) is kept up to this long, s; beyond it the file is given up.
    timeout : float
        Wait so long for a connection, and so long for the next bytes, s.

    Raises
    ------
    SettingError
        If there is to be no try, no time for an answer, or a negative pause.
    """

    tries: int = 8
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_asked: float = 300.0
    timeout: float = 30.0

    def __post_init__(self):
        if self.tries < 1 or self.timeout <= 0 or min(self.first_wait, self.longest_wait, self.longest_asked) < 0:
            raise SettingError(f"{self}: expected at least one try, a timeout above 0, and no negative pause")


DEFAULT_PATIENCE = Patience()


class Transfer:
    """A client that fetches files, from several threads at a time if need be.

    Redirects are followed and the proxies of the environment used. Use it in a ``with`` statement.

    Parameters
    ----------
    connections : int
        Number of threads that will call `fetch` at a time.
    patience : Patience
        How long to wait for a server that fails for the moment.

    Attributes
    ----------
    n_bytes : int
        Bytes that arrived so far, those of broken transfers included.
    """

    def __init__(self, connections: int = 1, patience: Patience = DEFAULT_PATIENCE):
        self.connections = connections
        self.patience = patience
        self.n_bytes = 0
        self._counting = threading.Lock()
        self._stopping = threading.Event()
        self._session = _session(connections)

    def __enter__(self) -> "Transfer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._session.close()

    def stop(self) -> None:
        """Make every `fetch` under way end soon, and none begin."""
        self._stopping.set()

    def fetch(self, url: str, path: Path, ceiling: int, tries: int | None = None) -> None:
        """Write what lies at an address to a file.

        Dropped connections, answers cut short, silence, and the statuses 408, 425, 429 and 5xx are tried again.

        Parameters
        ----------
        url
            Address, http or https.
        path
            The file to write; one that is there is written over, and after an error holds anything.
        ceiling
            Largest number of bytes that the file can have.
        tries
            How often to ask at most; by default as often as `patience` says.

        Raises
        ------
        Absent
            If the server answers 403, 404 or 410.
        WrongContent
            If more than `ceiling` bytes come.
        DataError
            If another answer is final, or the last try failed too.
        OSError
            If the file can't be written.
        """
        tries = tries or self.patience.tries
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            stop=tenacity.stop_after_attempt(tries) | tenacity.stop_when_event_set(self._stopping),
            wait=self._pause,
            sleep=tenacity.sleep_using_event(self._stopping),
            reraise=True,
        )
        try:
            retrying(self._attempt, url, path, ceiling)
        except _Passing as fault:
            raise DataError(
                f"{_shown(url)} can't be fetched: {fault}, {tries} times; check the connection and run the same again"
            ) from fault

    def _attempt(self, url: str, path: Path, ceiling: int) -> None:
        self._refuse_if_stopping()
        try:
            with self._session.get(url, stream=True, timeout=self.patience.timeout) as response:
                self._check_status(url, response)
                self._save(response, path, ceiling)
        except _FINAL_ERRORS as error:
            raise DataError(f"{_shown(url)} can't be fetched: {_one_line(error)}; correct the address") from error
        except requests.RequestException as error:
            cause = _root_cause(error)
            silent = isinstance(cause, TimeoutError)
            raise _Passing(f"no byte for {self.patience.timeout:g} s" if silent else _one_line(cause)) from error

    def _check_status(self, url: str, response: requests.Response) -> None:
        status = response.status_code
        if status == 200:
            return
        answer = f"the server answers {status} {response.reason or ''}".rstrip()
        if status in _ABSENT_STATUS:
            raise Absent(f"{_shown(url)} can't be fetched: {answer}; check the address and the version")
        if status not in _PASSING_STATUS and status < 500:
            raise DataError(f"{_shown(url)} can't be fetched: {answer}; check the address")
        asked = _retry_after(response.headers.get("Retry-After", ""))
        if asked > self.patience.longest_asked:
            raise DataError(
                f"{_shown(url)} can't be fetched: {answer} and asks to wait {asked:.0f} s; run the same again later"
            )
        raise _Passing(answer, asked)

    def _save(self, response: requests.Response, path: Path, ceiling: int) -> None:
        n_bytes = 0
        with path.open("wb") as file:
            for chunk in response.iter_content(_CHUNK):
                self._refuse_if_stopping()
                n_bytes += len(chunk)
                if n_bytes > ceiling:
                    raise WrongContent(f"more than {ceiling:,} bytes came, which no such file has")
                file.write(chunk)
                with self._counting:
                    self.n_bytes += len(chunk)
        # urllib3 2 finds this itself, urllib3 1 doesn't.
        stated = response.headers.get("Content-Length", "")
        if stated.isdecimal() and n_bytes < int(stated) and "Content-Encoding" not in response.headers:
            raise _Passing(f"only {n_bytes:,} of {int(stated):,} bytes came")

    def _refuse_if_stopping(self) -> None:
        if self._stopping.is_set():
            raise DataError("the transfer was stopped; run the same again to go on")

    def _pause(self, state: tenacity.RetryCallState) -> float:
        first, longest = self.patience.first_wait, self.patience.longest_wait
        backoff = tenacity.wait_exponential(multiplier=first, max=longest) + tenacity.wait_random(0, first)
        return max(backoff(state), state.outcome.exception().asked)


class _Passing(Exception):
    """A fault that may have gone at the next try."""

    def __init__(self, what: str, asked: float = 0.0):
        super().__init__(what)
        self.asked = asked  # s, that the server wants to be left alone


def _session(connections: int) -> requests.Session:
    session = requests.Session()
    # Sums are of the bytes as they lie on the server, so no compression on the way.
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": f"ecgcourse/{__version__}"})
    # Without cookies the threads share nothing that changes.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=connections))
    return session


def _retry_after(text: str) -> float:
    """Seconds to wait by a Retry-After header, which holds seconds or a date; 0 where it holds neither."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0


def _root_cause(error: BaseException) -> BaseException:
    # requests wraps the error of urllib3, which wraps that of the operating system, which says what happened.
    while error.__context__ is not None:
        error = error.__context__
    return error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _shown(url: str) -> str:
    """The address without a password that may stand in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
