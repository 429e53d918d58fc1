"""What the app and an embedding process say to each other: the spec, and the files in the job's folder.

    spec.json            EmbedSpec
    texts.arrow          Arrow IPC file: `example_id`, `text`
    vectors-00001.arrow  Arrow IPC files in order of making, each complete when it has its name: `example_id`, `vector`

The app may take a file of vectors up and remove it while later ones are still made; so neither side holds all vectors,
and what was made before either side was killed is not made again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.contract.spec import SPEC_FILE
from studio.errors import BadSpec

STARTER_ENCODER = "starter"
"""Name of the encoder that comes with the package index: all-MiniLM-L6-v2."""

DIMENSIONS = 384
"""Numbers in a vector; vectors have length 1."""

TEXTS_FILE = "texts.arrow"
VECTORS_PATTERN = "vectors-[0-9][0-9][0-9][0-9][0-9].arrow"


class EmbedSpec(BaseModel):
    """One embedding job. `encoder` is `starter` or a folder; `part_rows` texts go into one file of vectors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    encoder: str = Field(STARTER_ENCODER, min_length=1, max_length=500)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    max_tokens: int = Field(256, ge=8, le=512, description="tokens of a text that are read")
    batch_tokens: int = Field(2048, ge=16, le=1 << 20, description="tokens a forward pass, padding included")
    part_rows: int = Field(512, ge=1, le=100_000, description="texts a file; short, for the write door's sake")


def vectors_file(number: int) -> str:
    """Name of the file of vectors with this number."""
    return f"vectors-{number:05d}.arrow"


def read_embed_spec(run_dir: Path) -> EmbedSpec:
    """The spec of an embedding job. Raises BadSpec when it is missing or damaged."""
    try:
        return EmbedSpec.model_validate_json((run_dir / SPEC_FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise BadSpec(f"The spec in {run_dir} cannot be read: start the job again.") from error
