"""Downloads: a server on this machine stands for the mirrors."""

import functools
import hashlib
import http.server
import threading

import pytest

from fastconv import data
from fastconv.data import cifar10, download, mnist
from fastconv.data.download import Remote, fetch
from fastconv.errors import DataError


@pytest.fixture(autouse=True)
def no_folder_of_the_users(monkeypatch):
    """Nobody's own files stand in for the download."""
    monkeypatch.delenv("FASTCONV_DATA", raising=False)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """The address of a server of `tmp_path/served`, reached without a proxy."""
    monkeypatch.setenv("NO_PROXY", "*")
    served = tmp_path / "served"
    served.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=served)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def remote(content, *mirrors, size=None):
    return Remote("digits.bin", size or len(content), hashlib.sha256(content).hexdigest(), mirrors)


def test_a_download_falls_back_to_the_next_mirror(tmp_path, mirror):
    (tmp_path / "served" / "digits.bin").write_bytes(b"seven")
    path = fetch(remote(b"seven", mirror + "gone/", mirror), tmp_path / "cache", ["digits.bin"])
    assert path.read_bytes() == b"seven"


@pytest.mark.parametrize(
    ("served", "text"),
    [(b"se", "hash"), (b"wrong", "hash"), (b"seven and more", "more bytes"), (None, "404")],
    ids=["cut short", "other bytes", "longer", "absent"],
)
def test_a_bad_download_leaves_nothing_behind(tmp_path, mirror, served, text):
    if served is not None:
        (tmp_path / "served" / "digits.bin").write_bytes(served)
    with pytest.raises(DataError, match=f"(?s)put digits.bin, more.bin into .*cache by hand.*{text}"):
        fetch(remote(b"seven", mirror), tmp_path / "cache", ["digits.bin", "more.bin"])
    assert list((tmp_path / "cache").iterdir()) == []


def test_load_downloads_once_and_then_reads_the_cache(tmp_path, mirror, monkeypatch):
    served = tmp_path / "served"
    (served / "t10k-images-idx3-ubyte.gz").write_bytes(
        (2051).to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in (2, 28, 28)) + bytes(1568)
    )
    (served / "t10k-labels-idx1-ubyte.gz").write_bytes((2049).to_bytes(4, "big") + (2).to_bytes(4, "big") + b"\7\2")
    files = [(path.name, path.read_bytes()) for path in sorted(served.iterdir())]
    remotes = tuple(Remote(name, len(b), hashlib.sha256(b).hexdigest(), (mirror,)) for name, b in files)
    monkeypatch.setitem(mnist.REMOTES, "test", remotes)
    monkeypatch.setattr(mnist, "cache_folder", lambda dataset: tmp_path / "cache" / dataset)
    assert data.load("mnist", split="test")[1].tolist() == [7, 2]
    for name, _ in files:
        (served / name).unlink()
    assert data.load("mnist", split="test")[1].tolist() == [7, 2]


def test_offline_the_error_names_every_file_and_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(mnist, "cache_folder", lambda dataset: tmp_path / dataset)
    nowhere = tuple(Remote(r.name, r.size, r.sha256, ("http://127.0.0.1:1/",)) for r in mnist.REMOTES["train"])
    monkeypatch.setitem(mnist.REMOTES, "train", nowhere)
    with pytest.raises(DataError) as caught:
        data.load("mnist")
    for part in [r.name for r in (*mnist.REMOTES["train"], *mnist.REMOTES["test"])] + [
        str(tmp_path / "mnist"),
        "root=",
    ]:
        assert part in str(caught.value)
    assert "no connection" in str(caught.value)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_named_folder_is_never_filled_from_the_network(tmp_path, monkeypatch, name, exists):
    for module in (mnist, cifar10):
        monkeypatch.setattr(module, "fetch", lambda *args: pytest.fail("a download was tried"))
    root = tmp_path if exists else tmp_path / "absent"
    names = {"mnist": ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"], "cifar10": ["data_batch_5.bin"]}[name]
    with pytest.raises(DataError) as caught:
        data.load(name, root=root)
    for part in [*names, str(root), "https://"]:
        assert part in str(caught.value)
    assert ("is not a folder" in str(caught.value)) != exists


def test_downloads_lie_in_the_cache_folder_of_the_user():
    assert download.cache_folder("mnist").name == "mnist"
    assert "fastconv" in str(download.cache_folder("mnist"))
