"""The file of Gradio's page that is mended on its way: found on the pinned version, served, asked for again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from studio.context import open_studio
from studio.settings import Workspace
from studio.web import frontend
from studio.web.frontend import ALL_TOLD, ASSETS, SEEN_TOLD, frontend_routes, mended
from studio.web.server import build_app
from tests.web.conftest import URL


@pytest.fixture
def page(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(build_app(open_studio(Workspace(tmp_path))), base_url=URL) as client:
        yield client


def test_the_pinned_version_reads_as_what_is_mended() -> None:
    found = mended()
    assert found is not None
    assert found[1].replace(SEEN_TOLD, ALL_TOLD) == (ASSETS / found[0]).read_text(encoding="utf-8")


def test_the_page_loads_the_mended_file_and_asks_whether_it_is_the_same(page: TestClient) -> None:
    name, text = mended() or ("", "")
    given = page.get(f"/assets/{name}")
    assert (given.text, given.headers["content-encoding"]) == (text, "gzip")
    assert page.get(f"/assets/{name}", headers={"accept-encoding": "identity"}).text == text
    again = page.get(f"/assets/{name}", headers={"if-none-match": given.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_another_version_is_handed_on_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Blocks-other.js").write_text("Object.values(this.loading)")
    monkeypatch.setattr(frontend, "ASSETS", tmp_path)
    assert mended() is None
    assert frontend_routes().routes == []
