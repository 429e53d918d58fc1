"""The environment, read once, and where everything lies in a workspace."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from studio.errors import WorkspaceBroken

DEFAULT_PORT = 7860
USER = "me"
"""Name under which work is kept while there are no accounts."""


@dataclass(frozen=True)
class Workspace:
    """The folder that users back up."""

    root: Path

    @property
    def database(self) -> Path:
        """Everything but weights and frozen data."""
        return self.root / "studio.duckdb"

    @property
    def snapshots(self) -> Path:
        """Frozen datasets, a folder each, named by content hash."""
        return self.root / "snapshots"

    @property
    def runs(self) -> Path:
        """Run folders: the process contract."""
        return self.root / "runs"

    @property
    def sweeps(self) -> Path:
        """Folders of sweeps; each holds its trials as run folders."""
        return self.root / "sweeps"

    @property
    def evaluations(self) -> Path:
        """Folders of evaluations, named by their run, and the answers that were given (`answers`)."""
        return self.root / "evaluations"

    @property
    def why(self) -> Path:
        """Folders of questions for an answer's sources; what was worked out of training rows is in `cache`."""
        return self.root / "why"

    @property
    def curves(self) -> Path:
        """Folders of learning curves; each holds its parts of a snapshot and their runs."""
        return self.root / "curves"

    @property
    def metrics(self) -> Path:
        """Metrics of one's own, Python files that an admin put there."""
        return self.root / "metrics"

    @property
    def exports(self) -> Path:
        """Folders of model exports, named by run and format, and in each the newest export itself (`files`)."""
        return self.root / "exports"

    @property
    def models(self) -> Path:
        """Starter models made ready to load."""
        return self.root / "models"

    @property
    def backups(self) -> Path:
        """Copies of the database taken before a migration."""
        return self.root / "backups"

    @property
    def uploads(self) -> Path:
        """Files on their way in and out of the browser; emptied at each start."""
        return self.root / "uploads"

    @property
    def embeddings(self) -> Path:
        """Folders of embedding jobs, a folder a project; each is removed when its vectors are in the database."""
        return self.root / "embeddings"

    @property
    def preflights(self) -> Path:
        """Folders of preflights: the newest one of each project's pairs and of each of its snapshots."""
        return self.root / "preflights"

    @property
    def engines(self) -> Path:
        """Folders of inference processes; nothing in them outlives the app."""
        return self.root / "engines"


def open_workspace(folder: str | Path | None = None) -> Workspace:
    """The workspace at `folder`, else at $SFT_STUDIO_WORKSPACE, else ./workspace; made if it is not there.

    Raises WorkspaceBroken when it cannot be.
    """
    name = folder or os.environ.get("SFT_STUDIO_WORKSPACE") or "workspace"
    try:
        root = Path(name).expanduser().resolve()
        root.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise WorkspaceBroken(f"The workspace {name} cannot be used ({why}): name another folder.") from None
    return Workspace(root)
