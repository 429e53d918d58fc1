"""URLs that somebody typed, and names of the Hub, that lead into this machine or its network."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from storage.database import Database
from storage.records import Project
from studio.contract import outward
from studio.contract.chat import Message
from studio.data import hub
from studio.data.readers import open_rows
from studio.deploy import monitoring, webhook
from studio.errors import BadFile, BadInput, JobFailed
from studio.jobs.endpoint import Endpoint, ask_endpoint, checked_endpoint
from studio.jobs.endpoint_stream import stream_endpoint
from studio.jobs.engine import Sampling
from studio.models.hub import is_hub_id

PRIVATE = [
    *("127.0.0.1", "localhost", "LOCALHOST.", "a.localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0.0.0.0"),
    *("169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "224.0.0.1", "255.255.255.255"),
    *("[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[64:ff9b::7f00:1]"),
    *("[2002:7f00:1::]", "[ff02::1]", "[::7f00:1]", "[::ffff:0:7f00:1]", "[64:ff9b:1::7f00:1]", "[fec0::1]"),
]
ASKED = [(Message("user", "hi"),)]


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a studio is started without the setting."""
    monkeypatch.delenv(outward.ALLOWED)


@pytest.fixture
def asked() -> Iterator[tuple[int, list[str]]]:
    """A service of this machine that must not be reached: its port, and what it was asked."""
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_GET = do_HEAD = do_POST

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, got
    server.shutdown()
    server.server_close()


def means(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Every name is looked up as these addresses, the next one at each look."""
    left = list(addresses)

    def look_up(host: str, port: int, *more: object, **named: object) -> list[tuple[object, ...]]:
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize("host", PRIVATE)
def test_a_private_address_in_any_spelling_is_refused_when_it_is_typed(
    db: Database, project: Project, host: str
) -> None:
    with pytest.raises(BadInput, match=r"private address.*SFT_STUDIO_PRIVATE_HOSTS"):
        checked_endpoint(f"http://{host}:8000/v1", "m")
    with pytest.raises(BadInput, match="private address"):
        monitoring.set_watch(db, project.id, {}, "ann", f"http://{host}/hook")


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "api.example.org", "127.0.0.1.example.org"])
def test_an_address_of_the_internet_is_taken(host: str) -> None:
    assert checked_endpoint(f"https://{host}/v1", "m").host == host


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.1.2.3"])
def test_a_name_that_means_a_private_address_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, asked: tuple[int, list[str]], address: str
) -> None:
    means(monkeypatch, address)
    url = f"http://innocent.example:{asked[0]}"
    with pytest.raises(JobFailed, match="private address"):
        ask_endpoint(Endpoint(url, "m"), ASKED, 4)
    assert webhook.post(url, {}).startswith("not sent: innocent.example is a private address")
    assert asked[1] == []


def test_a_name_that_means_another_address_a_moment_later_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, asked: tuple[int, list[str]]
) -> None:
    """Whoever connects takes the address that was judged: here one of the internet, where nothing is reached."""
    means(monkeypatch, "198.18.0.1", "127.0.0.1")
    monkeypatch.setattr(outward, "is_allowed", lambda address: address == "198.18.0.1")
    reached: list[object] = []
    monkeypatch.setattr(socket, "create_connection", lambda where, *more, **named: reached.append(where) or _gone())
    webhook.post(f"http://turning.example:{asked[0]}/", {})
    assert reached == [("198.18.0.1", asked[0])] and asked[1] == []


def _gone() -> None:
    raise ConnectionRefusedError


async def _stream(url: str) -> None:
    async for _ in stream_endpoint(Endpoint(url, "m"), ASKED[0], Sampling()):
        pass


def test_a_streamed_answer_is_not_asked_for_either(
    monkeypatch: pytest.MonkeyPatch, asked: tuple[int, list[str]]
) -> None:
    means(monkeypatch, "127.0.0.1")
    with pytest.raises(JobFailed, match="private address"):
        asyncio.run(_stream(f"http://innocent.example:{asked[0]}"))
    assert asked[1] == []


def test_a_redirect_into_this_machine_is_not_followed(
    monkeypatch: pytest.MonkeyPatch, asked: tuple[int, list[str]]
) -> None:
    location = {"location": f"http://127.0.0.1:{asked[0]}/"}
    transport = httpx.MockTransport(lambda request: httpx.Response(307, headers=location))
    with pytest.raises(JobFailed, match="sends elsewhere"):
        ask_endpoint(Endpoint("https://a.example/v1", "m"), ASKED, 4, transport)
    assert asked[1] == []


@pytest.mark.parametrize("named", ["127.0.0.1", "127.0.0.0/8", "x.example, 127.0.0.1", "*", "innocent.example"])
def test_what_the_environment_names_is_asked(
    monkeypatch: pytest.MonkeyPatch, asked: tuple[int, list[str]], named: str
) -> None:
    monkeypatch.setenv(outward.ALLOWED, named)
    means(monkeypatch, "127.0.0.1")
    assert webhook.post(f"http://innocent.example:{asked[0]}/hook", {}) == "sent (200)" and asked[1] == ["/hook"]


@pytest.mark.parametrize("named", ["", "10.0.0.0/8", "nonsense/99", "127.0.0.2", "localhost.example"])
def test_what_it_does_not_name_is_not(
    monkeypatch: pytest.MonkeyPatch, asked: tuple[int, list[str]], named: str
) -> None:
    monkeypatch.setenv(outward.ALLOWED, named)
    assert webhook.post(f"http://127.0.0.1:{asked[0]}/hook", {}).startswith("not sent") and asked[1] == []


def test_an_environments_proxy_is_no_way_round(monkeypatch: pytest.MonkeyPatch, asked: tuple[int, list[str]]) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{asked[0]}")
    means(monkeypatch, "203.0.113.1")
    with suppress(JobFailed):
        ask_endpoint(Endpoint("http://a.example/v1", "m"), ASKED, 4)
    webhook.post("http://a.example/", {})
    assert asked[1] == []


@pytest.mark.parametrize(
    "name",
    [
        *("http://127.0.0.1/x", "//127.0.0.1/x", "127.0.0.1:80/x", "org/name?x=1", "org/name#x", "org/na me", "org/.."),
        *("../../etc/passwd", "org/name/../../x", "file:///etc/passwd", "org\\name", "org/name\n", "org/name\0", "~/x"),
    ],
)
def test_a_hub_id_is_a_name_and_no_address(name: str) -> None:
    assert not is_hub_id(name)


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the Hub could be reached."""
    monkeypatch.setattr(hub, "is_offline", lambda: False)
    monkeypatch.setattr(hub, "reachable", lambda: True)


@pytest.mark.parametrize("name", ["json", "text", "csv", "parquet"])
def test_a_readers_name_does_not_read_the_folder_that_the_studio_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reachable: None, name: str
) -> None:
    """datasets takes such a name for its own reader, over the files of the current folder."""
    (tmp_path / "secret.json").write_text('{"prompt": "a secret"}\n', encoding="utf-8")
    (tmp_path / "secret.txt").write_text("a secret\n", encoding="utf-8")
    (tmp_path / "secret.csv").write_text("prompt\na secret\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadFile):
        list(open_rows(Path(f"hub:{name}")).rows())


@pytest.mark.parametrize("where", ["/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:{port}/x.json", "zip://a::b"])
def test_a_data_set_whose_card_names_files_elsewhere_is_refused_unasked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reachable: None,
    asked: tuple[int, list[str]],
    where: str,
) -> None:
    """A folder stands for the data set of the Hub: its card is read by the same code."""
    import datasets

    where = where.format(port=asked[0])
    card = f"---\nconfigs:\n- config_name: default\n  data_files: '{where}'\n---\n"
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "README.md").write_text(card, encoding="utf-8")
    real = datasets.load_dataset_builder
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda repo, config: real(str(tmp_path / "set")))
    with pytest.raises(BadFile, match="names files that are not its own"):
        open_rows(Path("hub:org/name"))
    assert asked[1] == []


def test_a_data_set_that_unpickles_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reachable: None) -> None:
    import datasets

    config = SimpleNamespace(data_files={"train": ["hf://datasets/org/name@abc/a.pkl"]})
    builder = SimpleNamespace(name="pandas", config=config)
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda repo, config: builder)
    with pytest.raises(BadFile, match="made of pandas files"):
        open_rows(Path("hub:org/name"))
