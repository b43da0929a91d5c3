"""Download MNIST, Fashion-MNIST or KMNIST with torchvision, and move whole files into place."""

import contextlib
import io
import os
import queue
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import HTTPError

from torchvision import datasets

CONNECT_TIMEOUT = 10.0  # seconds to wait for the first answer of any mirror
READ_TIMEOUT = 30.0  # seconds without a received byte after which a running download fails


class DownloadError(Exception):
    """Raised when files cannot be downloaded; the message is the reason, without a line break."""


def download(name: str, data_dir: Path, missing: Sequence[Path]) -> None:
    """Download a data set with its torchvision class, which checks the md5 of each archive.

    torchvision decompresses directly to the final names and later trusts any file with such a
    name. Therefore it writes to a temporary folder here, and whole files are moved from there.

    Args:
        name: torchvision's class of the data set: ``MNIST``, ``FashionMNIST`` or ``KMNIST``.
        data_dir: torchvision's ``root``; created if needed.
        missing: the files to create, ``data_dir/name/raw/FILE``; other files do not change.

    Raises:
        DownloadError: no mirror answers, a download fails, or the files cannot be written.
    """
    dataset_class = getattr(datasets, name)
    archive = dataset_class.resources[0][0]
    _require_mirror([f"{mirror}{archive}" for mirror in dataset_class.mirrors])
    print(f"downloading {name} into {data_dir}", flush=True)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".download-", dir=data_dir) as folder:
            with _read_timeout(), _progress_bars_on_terminal_only():
                dataset_class(root=folder, download=True)
            for path in missing:
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(folder) / path.relative_to(data_dir), path)
    except (OSError, RuntimeError, HTTPException) as error:
        raise DownloadError(_reason(error)) from error


def _require_mirror(urls: list[str]) -> None:
    """Return when one of the URLs answers; raise DownloadError if none does in time.

    All URLs are tried at once, in threads. Behind a firewall that drops packets, torchvision would
    wait for every address of every mirror in turn, and for DNS, which has no socket timeout:
    minutes in total.
    """
    errors: queue.Queue[str] = queue.Queue()
    for url in urls:
        threading.Thread(target=_try_url, args=(url, errors), daemon=True).start()
    deadline = time.monotonic() + CONNECT_TIMEOUT
    for _ in urls:
        try:
            error = errors.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            error = f"no response within {CONNECT_TIMEOUT:g} s"
        if not error:
            return
    raise DownloadError(f"no mirror answers: {error}")


def _try_url(url: str, errors: "queue.Queue[str]") -> None:
    """Request the URL; put an error message into the queue, or "" on success."""
    request = urllib.request.Request(url, headers={"User-Agent": "pytorch/vision"})
    try:
        urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT).close()
    except HTTPError as error:
        error.close()  # an HTTPError is also the open response
        errors.put(f"{error}")
    except (OSError, HTTPException) as error:
        errors.put(_reason(error))
    else:
        errors.put("")


@contextlib.contextmanager
def _read_timeout() -> Iterator[None]:
    """Set READ_TIMEOUT as the default of sockets, because torchvision sets no timeout."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(READ_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _progress_bars_on_terminal_only() -> Iterator[None]:
    """Hide torchvision's progress bars, which it writes to stderr, if that is not a terminal."""
    if sys.stderr.isatty():
        yield
    else:
        with contextlib.redirect_stderr(io.StringIO()):
            yield


def _reason(error: Exception) -> str:
    """Return the message of an error in one line."""
    reason = getattr(error, "reason", error)  # the message of a URLError has brackets around it
    return " ".join(str(reason).split())
