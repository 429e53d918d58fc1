"""Cards: an example as it lies before one annotator, with all that was kept for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.annotations import get_draft
from storage.database import Database
from storage.examples import return_comment
from storage.records import Annotation, Draft, Example
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


def make_card(
    db: Database, example: Example, acts: Sequence[Annotation], annotator: str, has_draft: bool, offers: bool
) -> Card:
    """A card that nobody holds; reads only what may be there. `acts` are those on the example, oldest first."""
    standing = revision_for(acts, annotator)
    return Card(
        example,
        standing.id if standing else None,
        Draft(standing.response, standing.value) if standing else None,
        get_draft(db, example.id, annotator) if has_draft else None,
        offer_for(db, example) if offers and standing is None else None,
        return_comment(db, example.id) if example.review == "returned" else None,
        None,
    )
