"""What every request must pass: the right host, the same origin, and a page that loads nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from storage.database import connect
from studio.people.accounts import Accounts
from studio.web.guard import Guard
from tests.web.conftest import URL, House


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "[::2]:7860", "0.0.0.0"]
)
def test_a_foreign_host_is_refused(house: House, host: str) -> None:
    for path in ("/", "/api/label/desk?project=x", "/config"):
        answer = house.client.get(path, headers={"Host": host})
        assert answer.status_code == 403 and "127.0.0.1" in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "localhost:1", "[::1]:7860"])
def test_this_machines_names_pass(house: House, host: str) -> None:
    assert (
        house.client.get("/api/label/desk", params={"project": house.project.id}, headers={"Host": host}).status_code
        == 200
    )


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:7860", ""]
)
def test_a_post_of_another_site_is_refused(house: House, origin: str) -> None:
    example = house.desk()["card"]["id"]
    body = {"example": example, "action": "submit", "response": "x"}
    answer = house.client.post("/api/label/act", json=body, headers={"Origin": origin})
    assert answer.status_code == 403
    assert house.desk()["counts"]["labeled"] == 0


def test_the_pages_own_post_passes(house: House) -> None:
    body = {"example": house.desk()["card"]["id"], "action": "submit", "response": "x"}
    assert house.client.post("/api/label/act", json=body, headers={"Origin": URL}).status_code == 200


def test_the_page_is_served_with_a_policy_that_names_no_other_host(house: House) -> None:
    page = house.client.get("/")
    assert page.status_code == 200 and "SFT Studio" in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy and "*" not in policy
    assert "frame-ancestors 'self'" in policy and "object-src 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"


def test_every_tab_stands_in_the_pages_config_in_order(house: House) -> None:
    config = house.client.get("/config").json()
    tabs = [part["props"]["label"] for part in config["components"] if part["type"] == "tabitem"]
    positions = [tabs.index(name) for name in ("Home", "Projects", "Label", "Data", "Datasets", "Train", "Compare")]
    assert positions == sorted(positions)


def test_nothing_of_the_page_comes_from_another_host(house: House) -> None:
    import re

    page = house.client.get("/").text
    sources = re.findall(r"""(?:src|href)=["'](?:https?:)?//([^/"']+)""", page)
    assert [host for host in sources if host not in ("127.0.0.1:7860", "localhost:7860")] == []


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_no_interface_description_is_served(house: House, path: str) -> None:
    answer = house.client.get(path)
    assert answer.status_code == 404 or "swagger" not in answer.text.lower()


@pytest.mark.parametrize(
    "path",
    ["studio.duckdb", "../studio.duckdb", "/etc/passwd", "workspace/studio.duckdb", "app.py", "requirements.txt"],
)
def test_no_file_of_the_machine_is_served(house: House, path: str, tmp_path: Path) -> None:
    workspace = house.studio.workspace.root
    for asked in (path, f"{workspace}/{path}", f"{workspace}/studio.duckdb"):
        for route in ("/file=", "/gradio_api/file=", "/gradio_api/file/", "/static/"):
            answer = house.client.get(f"{route}{asked}")
            assert answer.status_code in (403, 404), (route, asked)


def test_on_another_address_any_host_passes_but_no_foreign_origin(tmp_path: Path) -> None:
    inner = Starlette(routes=[Route("/", lambda request: PlainTextResponse("in"), methods=["GET", "POST"])])
    db = connect(tmp_path / "studio.duckdb", tmp_path / "backups")
    client = TestClient(Guard(inner, None, Accounts(db)), base_url="http://studio.lan:7860")
    assert client.get("/").text == "in"
    assert client.post("/", headers={"Origin": "http://studio.lan:7860"}).text == "in"
    assert client.post("/", headers={"Origin": "http://evil.example"}).status_code == 403
    db.close()


def test_a_websocket_is_closed_unheard(house: House) -> None:
    with pytest.raises(WebSocketDisconnect), house.client.websocket_connect("/gradio_api/queue/join"):
        pass
