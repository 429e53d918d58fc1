"""What is made of pip-audit's list; whether it is asked is the Makefile's."""

from __future__ import annotations

from tests.audit import summary


def test_holes_are_named_with_the_version_that_mends_them_and_the_unknown_counted() -> None:
    listed = [
        {"name": "good", "version": "1", "vulns": []},
        {
            "name": "torn",
            "version": "2",
            "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}, {"id": "CVE-2", "fix_versions": []}],
        },
        {"name": "own", "skip_reason": "Dependency not found"},
    ]
    assert summary(listed) == (
        [
            "pip-audit: 2 libraries looked up, 2 known holes; 1 unknown to the index",
            "torn 2: CVE-1, mended in 3",
            "torn 2: CVE-2, mended in no version yet",
        ],
        2,
    )
    assert summary([{"name": "good", "version": "1", "vulns": []}]) == (
        ["pip-audit: 1 libraries looked up, 0 known holes"],
        0,
    )
