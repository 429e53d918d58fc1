"""The studio without a browser: parse a command line, run one command, print what it gives.

Exit codes: 0 done, 1 failed, 2 bad input. Results go to stdout, as tables or with `--json` as exactly one object;
sentences, logs and progress go to stderr. The work itself is in studio.commands.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from studio.commands import (
    Outcome,
    curve,
    evaluating,
    exporting,
    label,
    loop,
    planning,
    preflight,
    reporting,
    review,
    snapshots,
    suggest,
    sweeping,
    users,
    voting,
    why,
)
from studio.commands.keeping import add_keeping_commands
from studio.commands.queueing import add_queue_commands
from studio.commands.service_flags import add_service_commands
from studio.commands.spec_flags import add_share
from studio.contract.methods import METHODS
from studio.contract.spec import STARTER, TRAIN_FIELDS
from studio.data import shapes
from studio.data.exporting import SHAPES, SHAPES_BY_FILE
from studio.data.snapshots import GROUPINGS
from studio.errors import BadInput, NotFound, StudioError, WorkspaceBroken
from studio.settings import USER, Workspace, open_workspace

_CELL = 60


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, as every other bad input does."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message[:1].upper()}{message[1:]}: `{self.prog} --help` shows what there is.")


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    try:
        return _run(argv, "--json" in argv)
    except BrokenPipeError:  # `… | head`
        _silence()
        return 1


def _run(argv: Sequence[str], as_json: bool) -> int:
    try:
        flags = _parser().parse_args(argv)
        as_json = flags.json
        outcome: Outcome = flags.does(_workspace(flags.workspace), flags)
    except StudioError as error:
        return _fail(str(error), as_json, 2 if isinstance(error, (BadInput, NotFound)) else 1)
    except KeyboardInterrupt:
        return _fail("Interrupted.", as_json, 1)
    _print(json.dumps(outcome.data, ensure_ascii=False, default=str) if as_json else as_tables(outcome.data))
    if outcome.message:
        _say(outcome.message)
    return outcome.code


def _fail(sentence: str, as_json: bool, code: int) -> int:
    _say(sentence)
    if as_json:
        _print(json.dumps({"error": sentence}, ensure_ascii=False))
    return code


def _workspace(folder: str | None) -> Workspace:
    try:
        return open_workspace(folder)
    except WorkspaceBroken as error:  # no damage, only a folder that cannot be one
        raise BadInput(str(error)) from None


def as_tables(data: Mapping[str, object]) -> str:
    """What a command gives, for people: values in one block, then each list as a table of its own."""
    simple = {name: value for name, value in data.items() if not isinstance(value, (list, dict))}
    blocks = [_table([{"": name, " ": value} for name, value in simple.items()], header=False)] if simple else []
    for name, value in data.items():
        rows = [{"": key, " ": item} for key, item in value.items()] if isinstance(value, dict) else value
        if isinstance(rows, list):
            body = _table([row if isinstance(row, dict) else {"": row} for row in rows]) if rows else "none"
            blocks.append(f"{name}\n{body}")
    return "\n\n".join(blocks)


def _table(rows: Sequence[Mapping[str, object]], header: bool = True) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    if header and any(name.strip() for name in names):
        cells.insert(0, names)
    widths = [max(len(line[index]) for line in cells) for index in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _cell(value: object) -> str:
    if value is None:
        return "–"
    text = f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"


def _print(text: str) -> None:
    print(text, flush=True)  # a closed pipe is to be told here, not by the interpreter's last flush


def _silence() -> None:
    """What is still in the buffers goes nowhere, so that the interpreter's last flush has nothing to complain of."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m studio", description="SFT Studio without a browser.")
    parser.add_argument("--workspace", metavar="W", help="folder that holds everything (default: ./workspace)")
    verbs = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_data_commands(verbs)
    _add_labeling_commands(verbs)
    _add_run_commands(verbs)
    _add_verdict_commands(verbs)
    add_service_commands(verbs, _command, _Parser)
    add_queue_commands(verbs, _command)
    _add_user_commands(verbs)
    add_keeping_commands(verbs, _command)
    doctor = _command(verbs, "doctor", loop.doctor, "what is fine here, and what to do about what is not")
    doctor.add_argument("--repair", action="store_true", help="make again what can be made of what is whole")
    return parser


def _add_data_commands(verbs: Any) -> None:
    project = verbs.add_parser("project", help="create or list projects").add_subparsers(
        dest="act", required=True, metavar="ACT", parser_class=_Parser
    )
    create = _command(project, "create", loop.create, "make a project")
    create.add_argument("name", metavar="NAME")
    create.add_argument("--task", default="instruction", help="task type (default: %(default)s)")
    create.add_argument("--system-prompt", default="", metavar="TEXT", help="system prompt of every conversation")
    _command(project, "list", loop.projects, "the projects there are")

    load = _command(verbs, "import", loop.import_rows, "import a file, a datasets folder or a data set of the Hub")
    load.add_argument("name", metavar="NAME")
    load.add_argument(
        "file", metavar="FILE", type=Path, help="a file, a datasets folder, or hub:OWNER/NAME[/CONFIG][:SPLIT]"
    )
    load.add_argument(
        "--shape", default=shapes.AUTO, choices=tuple(shapes.SHAPES), help="what a row is (default: auto)"
    )
    for option in ("input", "output", "context"):
        load.add_argument(f"--{option}", metavar="COLUMN", help=f"column of the {option} (guessed when none is named)")
    for option in ("a", "b"):
        load.add_argument(f"--{option}", metavar="COLUMN", help=f"column of answer {option.upper()} of a preference")
    load.add_argument("--priority", metavar="COLUMN", help="column of numbers, the highest is labeled first")
    load.add_argument("--group", metavar="COLUMN", help="column of names (customer, document) kept in one split")
    for option, text in (
        ("tools", "what a conversation may call"),
        ("margin", "how much better the better answer is, 1 to 3"),
        ("reason", "why it is better"),
    ):
        load.add_argument(f"--{option}", metavar="COLUMN", help=f"column of {text}")

    snapshot = _command(verbs, "snapshot", snapshots.snapshot, "freeze a project's pairs; compare and check snapshots")
    snapshot.add_argument(
        "words", metavar="NAME | diff A B | verify ID", nargs="+", help="a project's name, or what to do with which ids"
    )
    for split in ("validation", "test"):
        snapshot.add_argument(
            f"--{split}", type=float, default=0.1, help=f"share of {split} rows (default: %(default)s)"
        )
    snapshot.add_argument("--seed", type=int, default=0)
    snapshot.add_argument("--no-stratify", action="store_true", help="do not keep the labels' shares in each split")
    snapshot.add_argument(
        "--group-by", choices=tuple(GROUPINGS), default="column", help="what stays in one split (default: %(default)s)"
    )

    export = _command(verbs, "export", exporting.export, "write a project's or a snapshot's pairs to a file")
    export.add_argument("name", metavar="NAME|SNAPSHOT")
    export.add_argument(
        "file", metavar="FILE", type=Path, help="ending in .jsonl, .csv, .parquet or .zip; a folder; or hub:OWNER/NAME"
    )
    export.add_argument(
        "--shape", default="messages", choices=(*SHAPES, *SHAPES_BY_FILE), help="what a row is (default: %(default)s)"
    )
    export.add_argument("--public", action="store_true", help="on the Hub: for everybody (default: private)")

    check = _command(verbs, "preflight", preflight.preflight, "what stands between accepted pairs and a good run")
    check.add_argument("name", metavar="NAME|SNAPSHOT")
    check.add_argument("--model", metavar="M", help="base model whose template and tokens are looked at")
    check.add_argument("--max-length", type=int, metavar="N", help="tokens a row may have")
    _command(verbs, "lineage", snapshots.lineage, "where something comes from and what it went into").add_argument(
        "id", metavar="ID", help="of an example, an annotation, a snapshot or a run, or its first six characters"
    )


def _add_labeling_commands(verbs: Any) -> None:
    for name, run, text in (
        ("label", label.label, "the next example as JSON on stdout, its answer as JSON on stdin"),
        ("review", review.review, "the next example to review as JSON on stdout, the decision as JSON on stdin"),
    ):
        one = _command(verbs, name, run, text)
        one.add_argument("name", metavar="NAME")
        one.add_argument("--by", default=USER, metavar="USER", help="who acts (default: %(default)s)")
        one.set_defaults(json=True)
    agree = _command(verbs, "agreement", review.agree, "how far the annotators of a project agree")
    agree.add_argument("name", metavar="NAME")
    drafts = _command(verbs, "suggest", suggest.suggest, "a model's drafts for the next examples")
    drafts.add_argument("name", metavar="NAME")
    source = drafts.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", dest="run_id", metavar="RUN", help="a finished run")
    source.add_argument("--source", choices=("starter", "encoder", "endpoint"), help="a source without a run")
    drafts.add_argument("--limit", type=int, default=50, metavar="N", help="how many examples (default: %(default)s)")


def _add_user_commands(verbs: Any) -> None:
    user = verbs.add_parser("user", help="accounts: add, list, remove").add_subparsers(
        dest="act", required=True, metavar="ACT", parser_class=_Parser
    )
    add = _command(user, "add", users.user_add, "add a user; the first one turns accounts on")
    add.add_argument("name", metavar="NAME")
    add.add_argument("--role", required=True, choices=("admin", "reviewer", "annotator"))
    _command(user, "list", users.user_list, "who may log in")
    _command(user, "remove", users.user_remove, "end a user's access; their work is kept").add_argument(
        "name", metavar="NAME"
    )
    password = _command(user, "password", users.user_password, "set a new password")
    password.add_argument("name", metavar="NAME")
    for verb in (add, password):
        verb.add_argument("--password-stdin", action="store_true", help="read the password from stdin")


def _add_run_commands(verbs: Any) -> None:
    train = _command(verbs, "train", loop.train, "fine-tune a base model on a snapshot")
    train.add_argument("snapshot", metavar="SNAPSHOT")
    _add_spec(train)
    add_share(train)
    train.add_argument("--from", dest="from_run", metavar="RUN", help="go on from the weights of this finished run")
    train.add_argument("--priority", type=int, default=0, metavar="N", help="in the queue; the highest starts first")
    plan = _command(verbs, "plan", planning.plan, "what a run would do and take: peak memory, minutes, micro-batch")
    plan.add_argument("snapshot", metavar="SNAPSHOT")
    _add_spec(plan)
    add_share(plan)
    resume = _command(verbs, "resume", loop.resume, "go on from a stopped run's last checkpoint")
    add_share(resume)
    resume.add_argument("run_id", metavar="RUN")
    sweep = _command(verbs, "sweep", sweeping.sweep, "try settings, trial by trial; the lowest validation loss wins")
    sweep.add_argument("words", nargs="+", metavar="SNAPSHOT", help="or: list; show, stop, resume or use, and a SWEEP")
    _add_spec(sweep, method=False)
    sweep.add_argument("--from", dest="from_run", metavar="RUN", help="each trial goes on from this finished run")
    sweep.add_argument(
        "--over",
        action="extend",
        nargs="+",
        default=[],
        metavar="field=a,b,c",
        help="what to try: values, or low..high",
    )
    sweep.add_argument("--trials", type=int, default=8, help="how many at the most (default: %(default)s)")
    sweep.add_argument("--minutes", type=float, default=0, help="end after so many; 0 = no limit (default)")
    sweep.add_argument("--seed", type=int, default=0)
    sweep.add_argument("--no-prune", action="store_true", help="end no trial early")
    sweep.add_argument("--keep-all", action="store_true", help="keep every trial's weights, not the best one's alone")
    for verb in (train, resume, sweep):
        verb.add_argument("--detach", action="store_true", help="return at once; the run goes on")
    _command(verbs, "stop", loop.stop, "stop a run with a checkpoint").add_argument("run_id", metavar="RUN")
    _command(verbs, "runs", loop.runs, "list the runs")


def _add_verdict_commands(verbs: Any) -> None:
    evaluate = _command(verbs, "evaluate", evaluating.evaluate, "base and tuned answers to held-out rows: the verdict")
    evaluate.add_argument("run", metavar="RUN")
    evaluate.add_argument("--split", choices=("test", "validation"), default="test")
    evaluate.add_argument("--rows", type=int, default=0, help="held-out rows at the most (default: 500)")
    evaluate.add_argument("--no-ways", action="store_true", help="do not try the base with a prompt and with examples")
    leaderboard = _command(verbs, "leaderboard", evaluating.leaderboard, "evaluated runs on the same held-out rows")
    leaderboard.add_argument("name", metavar="NAME")
    report = _command(verbs, "report", reporting.report, "a run's verdict as a page to send: one HTML file")
    report.add_argument("run", metavar="RUN")
    report.add_argument("file", metavar="FILE.html", type=Path)
    report.add_argument("--without-texts", action="store_true", help="figures and lineage only, no text of a row")

    compare = _command(verbs, "compare", loop.compare, "answers of base and fine-tuned model side by side")
    compare.add_argument("run_id", metavar="RUN")
    asked = compare.add_mutually_exclusive_group(required=True)
    asked.add_argument("--prompt", metavar="TEXT")
    asked.add_argument("--file", metavar="FILE", type=Path, help="JSONL with a `prompt` in each line")
    compare.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default: %(default)s)")
    compare.add_argument("--max-tokens", type=int, default=256, help="longest answer (default: %(default)s)")
    compare.add_argument("--seed", type=int, help="makes answers with a temperature repeatable")

    vote = _command(verbs, "vote", voting.vote, "the next comparison shown blind, a vote on it, or the standings")
    vote.add_argument("name", metavar="NAME")
    vote.add_argument("--by", default=USER, metavar="USER", help="who votes (default: %(default)s)")
    vote.add_argument("--comparison", default="", metavar="ID")
    vote.add_argument("--choice", default="", choices=("left", "right", "tie", "bad"))
    vote.add_argument("--undo", action="store_true", help="take the last vote back")
    vote.add_argument("--standings", action="store_true", help="how the models stand by all votes")
    why_verb = _command(verbs, "why", why.why, "the training pairs that speak most for an answer")
    why_verb.add_argument("run", metavar="RUN")
    why_verb.add_argument("--prompt", required=True, metavar="TEXT")
    why_verb.add_argument("--answer", default="", metavar="TEXT", help="default: what the run answers")
    why_verb.add_argument("--gradients", action="store_true", help="by gradients of the adapter too (minutes)")
    why_verb.add_argument("--top", type=int, help="pairs that are named")
    curve_verb = _command(verbs, "curve", curve.curve, "runs on parts of a snapshot: how many more labels")
    curve_verb.add_argument("words", nargs="+", metavar="SNAPSHOT")
    _add_spec(curve_verb)
    curve_verb.add_argument("--detach", action="store_true", help="return at once; the runs go on")


def _add_spec(verb: argparse.ArgumentParser, method: bool = True) -> None:
    """The flags that say what is trained and how."""
    models = "starter, starter-encoder, a Hub id or a folder (default: %(default)s)"
    verb.add_argument("--model", default=STARTER, help=models)
    if method:
        verb.add_argument("--method", choices=METHODS, help="how (default: as the model and the rows suggest)")
    fields = ", ".join(sorted(TRAIN_FIELDS))
    verb.add_argument("--set", action="extend", nargs="+", default=[], metavar="field=value", help=f"fields: {fields}")


def _command(verbs: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object")
    parser.set_defaults(does=run)  # by no name that an argument has, such as `run`
    return parser
