"""MNIST and its two siblings, fetched by torchvision and put in place whole or not at all."""

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

from torchvision import datasets  # type: ignore[import-untyped]

PATIENCE = 10.0  # seconds until a mirror that says nothing counts as out of reach
STALL = 30.0  # seconds without a byte after which a download that had begun is given up


class DownloadError(Exception):
    """The files cannot be fetched; its message is the reason, in part of a line."""


def download(name: str, data_dir: Path, missing: Sequence[Path]) -> None:
    """Fetch a data set through its torchvision class, which checks each archive's md5.

    torchvision unpacks straight to the final names, and later takes whatever bears them for good.
    So it works in a folder of its own here, and only whole files are moved to where they belong.

    Args:
        name: torchvision's class of the data set: ``MNIST``, ``FashionMNIST`` or ``KMNIST``.
        data_dir: torchvision's ``root``, made if need be.
        missing: the files wanted, ``data_dir/name/raw/FILE``; others are left as they are.

    Raises:
        DownloadError: no mirror answers, a download breaks off, or the files cannot be written.
    """
    kind = getattr(datasets, name)
    _require_a_mirror([f"{mirror}{kind.resources[0][0]}" for mirror in kind.mirrors])
    print(f"downloading {name} into {data_dir}", flush=True)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".download-", dir=data_dir) as folder:
            with _stall_limit(), _bars_on_a_terminal_only():
                kind(root=folder, download=True)
            for path in missing:
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(folder) / path.relative_to(data_dir), path)
    except (OSError, RuntimeError, HTTPException) as error:
        raise DownloadError(_in_one_line(error)) from error


def _require_a_mirror(urls: list[str]) -> None:
    """Return as soon as one of the URLs answers; raise DownloadError if none does in time.

    A machine behind a silent firewall would otherwise wait for every address of every mirror in
    turn, and for the name look-up before that, which no socket timeout covers: minutes in all.
    """
    answers: queue.Queue[str] = queue.Queue()
    for url in urls:
        threading.Thread(target=_ask, args=(url, answers), daemon=True).start()
    deadline = time.monotonic() + PATIENCE
    for _ in urls:
        try:
            fault = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            fault = f"silent for {PATIENCE:g} s"
        if not fault:
            return
    raise DownloadError(f"no mirror answers: {fault}")


def _ask(url: str, answers: "queue.Queue[str]") -> None:
    """Put what is wrong with the URL, nothing where it answers."""
    request = urllib.request.Request(url, headers={"User-Agent": "pytorch/vision"})
    try:
        urllib.request.urlopen(request, timeout=PATIENCE).close()
    except HTTPError as error:
        error.close()  # it is the response, too
        answers.put(f"{error}")
    except (OSError, HTTPException) as error:
        answers.put(_in_one_line(error))
    else:
        answers.put("")


@contextlib.contextmanager
def _stall_limit() -> Iterator[None]:
    """Sockets give up after STALL seconds of silence: torchvision sets no limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _bars_on_a_terminal_only() -> Iterator[None]:
    """Show torchvision's progress bars, which go to stderr, only where they can be seen as such."""
    if sys.stderr.isatty():
        yield
    else:
        with contextlib.redirect_stderr(io.StringIO()):
            yield


def _in_one_line(error: Exception) -> str:
    reason = getattr(error, "reason", error)  # a URLError's own text wraps it in brackets
    return " ".join(str(reason).split())
