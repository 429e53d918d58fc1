"""Reads that screens make: counts, pages of examples, history. Storage's own verbs, under one roof."""

from storage.annotations import list_revisions
from storage.examples import count_examples, page_examples
from storage.snapshots import get_snapshot, list_snapshots

__all__ = ["count_examples", "get_snapshot", "list_revisions", "list_snapshots", "page_examples"]
