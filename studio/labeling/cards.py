"""Cards: an example as it lies before one annotator, with all that was kept for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage.annotations import acts_on, get_draft
from storage.database import Database
from storage.examples import get_example, return_comment
from storage.records import Draft, Example
from storage.standing import revision_for
from studio.labeling.suggestions import Offer, offer_for


@dataclass(frozen=True)
class Card:
    """An example with what this annotator answered (`answer`, of annotation `revision`), was typing (`draft`), may take
    over (`suggestion`) and was told by a reviewer (`comment`: who, what). `lease_until` is None where it is not held.
    """

    example: Example
    revision: str | None
    answer: Draft | None
    draft: Draft | None
    suggestion: Offer | None
    comment: tuple[str, str] | None
    lease_until: datetime | None


def make_card(db: Database, example_id: str, annotator: str, lease_until: datetime | None, has_draft: bool) -> Card:
    """Raises NotFound."""
    example = get_example(db, example_id)
    touched = example.answers or example.annotation_id or example.review
    standing = revision_for(acts_on(db.cursor(), example_id), annotator) if touched else None
    return Card(
        example,
        standing.id if standing else None,
        Draft(standing.response, standing.value) if standing else None,
        get_draft(db, example_id, annotator) if has_draft else None,
        offer_for(db, example) if standing is None else None,
        return_comment(db, example_id) if example.review == "returned" else None,
        lease_until,
    )
