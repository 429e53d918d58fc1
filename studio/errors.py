"""The one exception tree of the studio.

    StudioError                something the user can act on; its text is one plain sentence
    ├── BadInput               what was given cannot be used (CLI exit code 2)
    │   ├── BadFile            an uploaded or named file
    │   ├── BadSpec            a setting out of its limits
    │   └── BadModel           a base model that cannot be loaded
    ├── Conflict               somebody saved a newer version meanwhile; both are kept
    ├── NotFound               a name or id that is not in the workspace (exit code 2)
    ├── NotAllowed             what this user's role, or someone not logged in, may not do
    ├── WorkspaceBusy          another process owns the database
    ├── WorkspaceBroken        the database cannot be opened or is of another version
    ├── DiskFull               no room left; nothing already saved is lost
    ├── Cancelled              the user called a step off; nothing of it was saved
    └── JobFailed              a process of ours ended without its result

Anything else that escapes is a bug and shows its traceback.
"""


class StudioError(Exception):
    """Base of every error that is shown to the user as it stands."""


class BadInput(StudioError):
    """What was given cannot be used; the text says why and what would do."""


class BadFile(BadInput):
    """A file that cannot be read as what it claims to be."""


class BadSpec(BadInput):
    """A setting outside its limits."""


class BadModel(BadInput):
    """A base model that cannot be found or loaded."""


class Conflict(StudioError):
    """A save that began from what is not the newest any more; `newest` is what stands now."""

    def __init__(self, sentence: str, newest: object) -> None:
        super().__init__(sentence)
        self.newest = newest


class NotFound(StudioError):
    """A name or id that does not exist in this workspace."""


class NotAllowed(StudioError):
    """What this user's role does not allow, or a log-in that was refused; the text says what would do."""


class WorkspaceBusy(StudioError):
    """Another process owns this workspace's database."""


class WorkspaceBroken(StudioError):
    """The database file cannot be used by this version."""


class DiskFull(StudioError):
    """The disk is full; nothing already saved is lost."""


class Cancelled(StudioError):
    """The user called the step off; nothing of it was saved."""


class JobFailed(StudioError):
    """A job's process ended without its result."""
