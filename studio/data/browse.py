"""Reads that screens make: counts, pages of examples, snapshots. Storage's own verbs, under one roof."""

from storage.examples import count_examples, get_example, page_examples
from storage.snapshots import list_snapshots

__all__ = ["count_examples", "get_example", "list_snapshots", "page_examples"]
