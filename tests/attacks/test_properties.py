"""What holds for whatever is imported, split, lent and taken back: tried with texts that hypothesis thinks of.

`make properties` tries many more. The machine of annotators over the queue is in test_queue_machine.py, malformed files
of every format in tests/data/test_fuzzed_files.py, strata and the held-out set in tests/data/test_splits.py.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from storage.database import Database, connect
from storage.projects import create_project
from studio.data.importing import ImportReport, import_file
from studio.data.splits import SPLITS, assign_splits, joined
from studio.errors import StudioError

MORE = int(os.environ.get("SFT_STUDIO_EXAMPLES", "25"))
"""How many examples each property is tried with."""

some = hypothesis_settings(
    max_examples=MORE,
    deadline=None,
    derandomize="SFT_STUDIO_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=20)
PAIR = st.tuples(TEXT.filter(str.strip), TEXT.filter(str.strip))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Database]]:
    """A folder and an open database for all the examples of a property."""
    folder = tmp_path_factory.mktemp("shelf")
    db = connect(folder / "studio.duckdb", folder / "backups")
    yield folder, db
    db.close()


def written(folder: Path, ending: str, pairs: list[tuple[str, str]]) -> Path:
    """Pairs as a file of that ending."""
    path = folder / f"pairs{ending}"
    rows = [{"prompt": prompt, "response": response} for prompt, response in pairs]
    if ending == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif ending == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t" if ending == ".tsv" else ",").writerows([("prompt", "response"), *pairs])
    return path


_NUMBER = iter(range(10**9))


def taken(db: Database, path: Path) -> tuple[str, ImportReport]:
    """A file imported into a new project."""
    project = create_project(db, f"Property {next(_NUMBER)}", "instruction").id
    return project, import_file(db, project, path)


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".parquet", ".csv", ".tsv"])
@some
@given(pairs=st.lists(PAIR, min_size=1, max_size=8, unique=True))
def test_every_row_is_imported_once_or_accounted_for(
    shelf: tuple[Path, Database], ending: str, pairs: list[tuple[str, str]]
) -> None:
    folder, db = shelf
    path = written(folder, ending, pairs)
    try:
        project, report = taken(db, path)
    except StudioError as error:
        assert str(error).count("\n") == 0 and str(error).endswith((".", ")"))
        return
    assert report.imported + report.duplicates + report.rejected_count == len(pairs)
    again = import_file(db, project, path)
    assert again.imported == 0 and again.duplicates + again.rejected_count == len(pairs)
    kept = db.one("SELECT count(*) FROM examples WHERE project_id = ?", [project])
    assert kept is not None and kept[0] <= len(pairs)


@some
@given(
    groups=st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 9), min_size=1, max_size=30),
    fractions=st.tuples(st.floats(0, 0.45), st.floats(0, 0.45)),
    seed=st.integers(0, 2**31),
)
def test_every_group_is_in_one_split_whatever_the_order(
    groups: dict[str, int], fractions: tuple[float, float], seed: int
) -> None:
    made = assign_splits(groups, *fractions, seed)
    assert set(made) == set(groups) and set(made.values()) <= set(SPLITS) and "train" in made.values()
    backwards = dict(reversed(list(groups.items())))
    assert assign_splits(backwards, *fractions, seed) == made
    held = [key for key, split in made.items() if split == "test"]
    grown = {**groups, "new1": 3, "new2": 1}
    later = assign_splits(grown, *fractions, seed, held=held)
    assert all(later[key] == "test" for key in held)


@some
@given(links=st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4), max_size=12))
def test_what_is_linked_is_one_group_and_nothing_else_is(links: list[list[str]]) -> None:
    made = joined(links, "abcdefgh")
    assert all(made[one] == made[link[0]] for link in links for one in link)
    assert all(made[name] == name for name in set(made.values())) and all(made[key] <= key for key in made)
    assert joined(links[::-1], "hgfedcba") == made
    untouched = set("abcdefgh") - {one for link in links for one in link}
    assert all(made[key] == key for key in untouched)
