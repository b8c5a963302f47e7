"""One file from a web server: bounded in size, and asked for again where that may help."""

from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urlsplit

import requests
import urllib3

from ecgcourse import __version__
from ecgcourse.errors import DataError, brief

TIMEOUT = 30.0
"""Seconds to wait for a connection, and for the next bytes."""

ATTEMPTS = 3
"""How often a file is fetched whose content breaks off or is wrong."""

_LONGEST_PAUSE = 300  # seconds that a server may ask for
_ABSENT = (403, 404, 410)


class Absent(DataError):
    """The server answers that it doesn't have the file, or doesn't give it away."""


class WrongContent(DataError):
    """What arrived can't be the file that was asked for."""


class RetryPolicy(urllib3.Retry):
    """When a server is asked again: as urllib3 does, but for pauses of more than five minutes or of no sense."""

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        """Seconds to wait by a ``Retry-After`` header; None where none tells."""
        try:
            asked = super().get_retry_after(response)
        except urllib3.exceptions.InvalidHeader:
            return None
        if asked and asked > _LONGEST_PAUSE:
            raise DataError(f"the server asks to wait {asked:.0f} s; run the same again later")
        return asked


RETRY = RetryPolicy(
    6,
    backoff_factor=1.0,
    # So that several connections don't come back together.
    backoff_jitter=0.5,
    # Request timeout, too early, too many requests, and whatever a server blames itself for.
    status_forcelist=(408, 425, 429, *range(500, 600)),
    raise_on_status=False,
)
"""For a server that fails for the moment: pauses of 0, 2, 4 s and so on, a minute in all."""


def session(connections: int = 1) -> requests.Session:
    """Make a client for several threads; redirects are followed and the proxies of the environment used."""
    made = requests.Session()
    # Sums are of the bytes as they lie on the server, so no compression on the way.
    made.headers.update({"Accept-Encoding": "identity", "User-Agent": f"ecgcourse/{__version__}"})
    # Without cookies the threads share nothing that changes.
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        made.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=connections, max_retries=RETRY))
    return made


def fetch(client: requests.Session, url: str, ceiling: int, check: Callable[[bytes], object]) -> bytes:
    """Return what lies at an address.

    Parameters
    ----------
    client
        From `session`.
    url
        Address, http or https.
    ceiling
        Largest number of bytes that the file can have.
    check
        Raises WrongContent unless the bytes are those of the file.

    Raises
    ------
    Absent
        If the server answers 403, 404 or 410.
    WrongContent
        If the content is wrong, or more than `ceiling` bytes, each of `ATTEMPTS` times.
    DataError
        If there is no answer, or another one that is final.
    """
    for _ in range(ATTEMPTS):
        try:
            with client.get(url, stream=True, timeout=TIMEOUT) as response:
                _check_status(url, response)
                content = _content(response, ceiling)
            check(content)
            return content
        except WrongContent as error:
            wrong = error
        except requests.RequestException as error:
            raise DataError(f"{_shown(url)} can't be fetched: {_cause(error)}; check address and connection") from error
    raise WrongContent(f"{_shown(url)} came wrong {ATTEMPTS} times: {wrong}") from wrong


def _check_status(url: str, response: requests.Response) -> None:
    status = response.status_code
    if status != 200:
        kind = Absent if status in _ABSENT else DataError
        answer = f"the server answers {status} {brief(response.reason or '')}".rstrip()
        raise kind(f"{_shown(url)} can't be fetched: {answer}; check address and version, or try again later")


def _content(response: requests.Response, ceiling: int) -> bytes:
    content = bytearray()
    try:
        for chunk in response.iter_content(1 << 16):
            content += chunk
            if len(content) > ceiling:
                raise WrongContent(f"more than {ceiling:,} bytes came, which no such file has")
    except requests.RequestException as error:
        raise WrongContent(f"the connection broke off: {_cause(error)}") from error
    return bytes(content)


def _cause(error: BaseException) -> str:
    # requests wraps the error of urllib3, which wraps that of the operating system, which says what happened.
    while error.__context__ is not None:
        error = error.__context__
    if isinstance(error, TimeoutError):
        return f"no byte for {TIMEOUT:g} s"
    return brief(" ".join(str(error).split()) or type(error).__name__, 200)


def _shown(url: str) -> str:
    """The address without a password that may stand in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
