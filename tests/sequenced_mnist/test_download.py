"""sequenced_mnist/download.py with a local server: whole files, or none."""

import gzip
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from torchvision import datasets

from sequenced_mnist import download as download_module
from sequenced_mnist.download import DownloadError, download
from tests.helpers.mnist_files import TEST_IMAGES, TRAIN_IMAGES, idx, random_images

CONTENTS = {name: idx(content) for name, content in random_images().items()}
STALLED = b""  # for this archive the server sends the header and no content


class Mirror(ThreadingHTTPServer):
    """Serves archives by name; ``requested`` lists the requested names."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RequestHandler)
        self.archives = {f"{name}.gz": gzip.compress(c, mtime=0) for name, c in CONTENTS.items()}
        self.requested: list[str] = []
        self.done = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class RequestHandler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.server.requested.append(name)
        archive = self.server.archives.get(name)
        if archive is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(archive) or 1000))
        self.end_headers()
        if archive == STALLED:
            self.wfile.flush()
            self.server.done.wait(10)
        else:
            self.wfile.write(archive)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A local server as torchvision's only mirror, with the md5 of its archives registered."""
    server = Mirror()
    md5s = [(n, hashlib.md5(archive).hexdigest()) for n, archive in server.archives.items()]
    monkeypatch.setattr(datasets.MNIST, "resources", md5s)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [server.url])
    monkeypatch.setenv("no_proxy", "*")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.done.set()
    server.shutdown()
    server.server_close()
    thread.join()


def expected_files(data_dir: Path) -> list[Path]:
    return [data_dir / "MNIST" / "raw" / name for name in CONTENTS]


def everything_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_download_creates_the_files_and_nothing_else(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = tmp_path / "new" / "data"
    download("MNIST", data_dir, expected_files(data_dir))
    assert everything_in(tmp_path) == sorted(expected_files(data_dir))
    assert [path.read_bytes() for path in expected_files(data_dir)] == list(CONTENTS.values())
    assert [path.name for path in data_dir.iterdir()] == ["MNIST"]
    shown = capsys.readouterr()
    assert shown.out == f"downloading MNIST into {data_dir}\n"
    assert shown.err == ""  # no progress bar without a terminal


def test_existing_files_do_not_change(mirror: Mirror, tmp_path: Path) -> None:
    existing, *missing = expected_files(tmp_path)
    existing.parent.mkdir(parents=True)
    existing.write_bytes(b"the user's file")
    download("MNIST", tmp_path, missing)
    assert existing.read_bytes() == b"the user's file"
    assert [path.read_bytes() for path in missing] == list(CONTENTS.values())[1:]


@pytest.mark.parametrize(
    ("broken", "archive"),
    [
        (TRAIN_IMAGES, gzip.compress(b"another file")),
        (TEST_IMAGES, gzip.compress(b"another file")),
        (TRAIN_IMAGES, None),
    ],
    ids=["first is another file", "third is another file", "first is not found"],
)
def test_a_failed_download_leaves_no_files(
    mirror: Mirror, tmp_path: Path, broken: str, archive: bytes | None
) -> None:
    mirror.archives[f"{broken}.gz"] = archive
    with pytest.raises(DownloadError) as error:
        download("MNIST", tmp_path, expected_files(tmp_path))
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_stalled_download_times_out(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.archives[f"{TEST_IMAGES}.gz"] = STALLED
    monkeypatch.setattr(download_module, "READ_TIMEOUT", 0.2)
    start = time.monotonic()
    with pytest.raises(DownloadError, match="timed out"):
        download("MNIST", tmp_path, expected_files(tmp_path))
    assert time.monotonic() - start < 5
    assert list(tmp_path.iterdir()) == []
    assert socket.getdefaulttimeout() is None


def test_an_interrupted_download_leaves_no_files(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        datasets.MNIST, "_load_data", interrupt
    )  # called after all four are decompressed
    with pytest.raises(KeyboardInterrupt):
        download("MNIST", tmp_path, expected_files(tmp_path))
    assert mirror.requested[-1] == f"{TEST_IMAGES.replace('images-idx3', 'labels-idx1')}.gz"
    assert list(tmp_path.iterdir()) == []


def test_mirrors_that_do_not_answer_time_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a firewall that drops packets: no connection is ever answered."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download_module, "CONNECT_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(datasets.MNIST, "mirrors", [url] * 5)
        start = time.monotonic()
        with pytest.raises(DownloadError, match=r"no mirror answers"):
            download("MNIST", tmp_path / "data", expected_files(tmp_path / "data"))
        assert time.monotonic() - start < 1
    assert list(tmp_path.iterdir()) == []


def test_a_dns_lookup_that_does_not_end_times_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeout of a socket does not include the DNS lookup."""
    finished = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: finished.wait(5) and [])
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://mirror.invalid/"])
    monkeypatch.setattr(download_module, "CONNECT_TIMEOUT", 0.2)
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"no mirror answers: no response within 0\.2 s"):
        download("MNIST", tmp_path, expected_files(tmp_path))
    assert time.monotonic() - start < 1
    finished.set()


def test_one_working_mirror_is_enough(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/", mirror.url])
    download("MNIST", tmp_path, expected_files(tmp_path))
    assert everything_in(tmp_path) == sorted(expected_files(tmp_path))


def test_a_data_dir_that_is_a_file_raises(mirror: Mirror, tmp_path: Path) -> None:
    data_dir = tmp_path / "file"
    data_dir.write_text("")
    with pytest.raises(DownloadError, match="File exists"):
        download("MNIST", data_dir, expected_files(data_dir))
