"""The verdict's page as a download: for admins only, never a page of the studio's own address, texts when asked for."""

from __future__ import annotations

from tests.jobs.judged_run import evaluated
from tests.web.conftest import House, Town


def test_the_page_is_a_download_and_holds_texts_only_when_asked(house: House) -> None:
    run = evaluated(house.studio.db, house.studio.workspace, [("Where is it?", "There.", "Here.")])
    bare = house.client.get(f"/api/report/{run.id}")
    assert bare.status_code == 200 and "Where is it?" not in bare.text
    assert bare.headers["content-disposition"] == 'attachment; filename="Mail-run-1-verdict.html"'
    assert bare.headers["cache-control"] == "no-store" and bare.headers["x-content-type-options"] == "nosniff"
    assert "Where is it?" in house.client.get(f"/api/report/{run.id}?texts=1").text
    assert house.client.get("/api/report/nobody").status_code == 404


def test_only_an_admin_gets_it(town: Town) -> None:
    run = evaluated(town.studio.db, town.studio.workspace, [("Where is it?", "There.", "Here.")])
    asked = [town.ask(who, "GET", f"/api/report/{run.id}?texts=1") for who in (None, "bob", "rev", "ann")]
    assert [answer.status_code for answer in asked] == [401, 403, 403, 200]
    assert ["Where is it?" in answer.text for answer in asked] == [False, False, False, True]
