"""`python -m studio user …`: the accounts from a terminal, with the app stopped (it holds the database).

`user password` is for the admin who forgot theirs: whoever may write the workspace may do this.
"""

from __future__ import annotations

import getpass
import sys
from argparse import Namespace

from storage.records import Account
from studio.commands import Outcome, opened
from studio.errors import BadInput
from studio.people.accounts import Accounts, checked_name
from studio.people.passwords import check_password
from studio.settings import Workspace

_BY = "(command line)"


def user_add(workspace: Workspace, flags: Namespace) -> Outcome:
    """`user add NAME --role ROLE [--password-stdin]`: add a user; the first one turns accounts on."""
    name = checked_name(flags.name)
    with opened(workspace) as db:
        accounts = Accounts(db)
        accounts.refuse_add(name, flags.role)  # before a password is typed
    password = _password(name, flags.password_stdin)
    with opened(workspace) as db:
        accounts = Accounts(db)
        first = not accounts.on
        made = accounts.add(name, flags.role, password, _BY)
    told = f"{made.name} can log in as {made.role}."
    return Outcome({"user": _row(made)}, f"{told} Accounts are on: everybody logs in from now on." if first else told)


def user_list(workspace: Workspace, flags: Namespace) -> Outcome:
    """`user list`: who may log in, and in what role."""
    with opened(workspace) as db:
        return Outcome({"users": [_row(account) for account in Accounts(db).everybody()]})


def user_remove(workspace: Workspace, flags: Namespace) -> Outcome:
    """`user remove NAME`: mark a user as removed and end their sessions; their work is kept."""
    with opened(workspace) as db:
        accounts = Accounts(db)
        name = accounts.get(flags.name).name
        accounts.remove(name, _BY)
    return Outcome({"removed": name}, f"{name} can log in no more; their work is kept.")


def user_password(workspace: Workspace, flags: Namespace) -> Outcome:
    """`user password NAME [--password-stdin]`: a new password; ends their sessions and any lock."""
    with opened(workspace) as db:
        name = Accounts(db).get(flags.name).name
    password = _password(name, flags.password_stdin)
    with opened(workspace) as db:
        account = Accounts(db).set_password(name, password, _BY)
    return Outcome({"user": _row(account)}, f"{name} has a new password and is logged out everywhere.")


def _password(name: str, from_stdin: bool) -> str:
    """A password from stdin's first line, or typed twice. Raises BadInput for a weak one or two that differ."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif not sys.stdin.isatty():
        raise BadInput("A password is typed at a terminal; from a script give it on stdin with --password-stdin.")
    else:
        password = getpass.getpass(f"Password for {name}: ")
    check_password(password, name)
    if not from_stdin and getpass.getpass("The same again: ") != password:
        raise BadInput("The two passwords differ: nothing was changed; try again.")
    return password


def _row(account: Account) -> dict[str, object]:
    return {
        "name": account.name,
        "role": account.role,
        "created": account.created_at.isoformat(timespec="seconds"),
        "last_seen": account.seen_at.isoformat(timespec="seconds") if account.seen_at else None,
        "locked": account.locked_until is not None,
    }
