"""The short forms of the benches of labeling and of the page: the queue keeps its word; no time is asserted."""

from __future__ import annotations

import pytest

from tests.bench import bench_annotators, bench_label, bench_page, bench_scale


def test_a_small_crowd_gets_no_double_lease_and_loses_no_submit(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "--annotators 8 --overlaps 1,3 --submits 60 --think 0.1 --skips 0.1 --undos 0.1 --expiry"
    results = bench_annotators.main(arguments.split())
    assert [str(result.verdict) for result in results if not result.verdict.clean] == []
    assert all(result.log.accepted >= 60 for result in results)
    assert sum(result.verdict.late for result in results) > 0  # leases did run out in people's hands
    kinds = {one.kind for result in results for one in result.log.seen}
    assert kinds >= {"desk", "submit", "draft", "skip", "undo", "leave"}
    assert capsys.readouterr().out.count("clean: 0 double leases, 0 lost") == len(results)


def test_the_label_bench_measures_each_page(capsys: pytest.CaptureFixture[str]) -> None:
    if bench_label.CHROMIUM is None:
        pytest.skip("no Chromium on this machine: bench_label's short form is skipped")
    measured = bench_label.main(["--acts", "4", "--rounds", "2", "--examples", "20,40"])
    assert [(len(one.dom), len(one.painted)) for one in measured] == [(4, 4)] * 3
    assert all(0 < dom <= painted for one in measured for dom, painted in zip(one.dom, one.painted, strict=True))
    assert capsys.readouterr().out.count("ratio of p95") == 4


def test_the_page_bench_weighs_the_page_and_opens_each_tab(capsys: pytest.CaptureFixture[str]) -> None:
    if bench_page.CHROMIUM is None:
        pytest.skip("no Chromium on this machine: bench_page's short form is skipped")
    found = bench_page.main(["--examples", "200", "--runs", "3", "--rounds", "1", "--tabs", "home,data,monitor"])
    assert found.studio.transferred > found.bare.transferred > 100_000 and found.bare.requests > 5
    assert {*found.tabs} == {"home", "data", "monitor"}
    for name, opened in found.tabs.items():
        assert (len(opened.shifts), len(opened.first), len(opened.again)) == (1, int(name != "home"), 1)
        assert opened.shifts[0] >= 0 and all(taken >= 0 for taken in (*opened.first, *opened.again))
    assert sum(max(opened.first, default=0) > 0 for opened in found.tabs.values()) > len(found.tabs) / 2
    said = capsys.readouterr().out
    assert said.count("ratio of") == 3 and "200 examples, 3 runs" in said


def test_the_scale_bench_has_both_learn_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    found = bench_scale.main(["--short", "--rounds", "1"])
    losses = [runs[0].loss for runs in found.values()]
    assert {side.count for side in found} == {1, 2} and losses == pytest.approx([losses[0]] * len(losses), abs=1e-5)
    assert all(runs[0].tokens_per_second > 0 and runs[0].first_step > 0 for runs in found.values())
    assert "2 processes" in capsys.readouterr().out
