"""The short forms of the labeling benches: they run, and the queue keeps its word. No time is asserted."""

from __future__ import annotations

import pytest

from tests.bench import bench_annotators, bench_label


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
