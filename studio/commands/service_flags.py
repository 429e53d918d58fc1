"""The commands of a model in service: judge, serve, key, export-model, promote, rollback, monitor, rules.

Each has its flags here; what it does is in the module that it names.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from studio.commands import export_model, judging, monitoring, production, serving
from studio.contract.export import FORMATS
from studio.jobs.judging import JudgeAsk
from studio.settings import USER

Command = Callable[[Any, str, Any, str], argparse.ArgumentParser]


def add_service_commands(verbs: Any, command: Command, parser: type[argparse.ArgumentParser]) -> None:
    """Add them all; `command(verbs, name, run, help)` adds one."""
    _add_judge(verbs, command)
    _add_serving(verbs, command, parser)
    export = command(verbs, "export-model", export_model.export_model, "a model in a format that others load")
    export.add_argument("run", metavar="RUN")
    export.add_argument("dir", metavar="DIR", help="an empty or new folder, or hub:OWNER/NAME")
    export.add_argument("--format", choices=FORMATS, required=True)
    export.add_argument("--public", action="store_true", help="on the Hub for everybody (default: private)")
    export.add_argument("--prompts", type=int, default=20, help="prompts of the parity check (default: %(default)s)")
    production.add_promote_flags(command(verbs, "promote", production.promote, "put a run into production"))
    production.add_rollback_flags(command(verbs, "rollback", production.rollback, "put back what was in production"))
    monitoring.add_monitor_flags(command(verbs, "monitor", monitoring.monitor, "what was served, and how it did"))
    production.add_rules_flags(command(verbs, "rules", production.rules, "when a project is trained anew by itself"))


def _add_judge(verbs: Any, command: Command) -> None:
    judge = command(verbs, "judge", judging.judge, "a model of an endpoint compares base and tuned answers")
    judge.add_argument("run", metavar="RUN")
    judge.add_argument("--url", required=True, metavar="URL", help="OpenAI-compatible, such as https://host/v1")
    judge.add_argument("--model", required=True, metavar="NAME")
    judge.add_argument("--criteria", default="", metavar="TEXT", help="what makes an answer good, or @FILE")
    judge.add_argument("--rows", type=int, default=JudgeAsk.rows, help="held-out rows (default: %(default)s)")
    judge.add_argument("--no-reference", action="store_true", help="do not show the judge the reference answer")
    judge.add_argument("--price-in", type=float, default=0.0, metavar="X", help="per million tokens sent")
    judge.add_argument("--price-out", type=float, default=0.0, metavar="Y", help="per million tokens back")
    judge.add_argument("--most-cost", type=float, default=JudgeAsk.most_cost, metavar="Z", help="stop at this cost")
    judge.add_argument("--reply-tokens", type=int, default=JudgeAsk.reply_tokens, metavar="N")
    judge.add_argument("--estimate", action="store_true", help="say what it would cost; nothing is sent")


def _add_serving(verbs: Any, command: Command, parser: type[argparse.ArgumentParser]) -> None:
    serve = command(verbs, "serve", serving.serve, "serve finished runs by an OpenAI-compatible API")
    serve.add_argument("runs", nargs="*", metavar="RUN", help="its id; with --project also its number")
    serve.add_argument("--project", metavar="NAME", help="alone: what is in production of this project")
    serve.add_argument("--host", default="127.0.0.1", help="another address demands API keys (default: %(default)s)")
    serve.add_argument("--port", type=int, default=0, help="0 = any free one, which is told (default)")
    engines = ("auto", "studio", "vllm")
    serve.add_argument("--engine", choices=engines, default="studio", help="auto: vLLM where it can work")
    serve.add_argument(
        "--gpu-share", type=float, default=0.5, metavar="X", help="of the memory, for vLLM (default: 0.5)"
    )
    serve.add_argument(
        "--lend-after", type=float, default=60.0, metavar="S",
        help="without a request, until its memory goes to a run that lacks it; 0 = never (default: 60)",
    )  # fmt: skip
    serve.add_argument("--keep-texts", action="store_true", help="keep prompts and answers, redacted, for Monitor")
    serve.add_argument("--by", default=USER, help="who does this")
    key = verbs.add_parser("key", help="API keys: add, list, revoke").add_subparsers(
        dest="act", required=True, metavar="ACT", parser_class=parser
    )
    add = command(key, "add", serving.key_add, "make a key; it is shown once")
    add.add_argument("name", metavar="NAME")
    add.add_argument("--model", action="append", default=[], metavar="M", help="a name it may ask for (default: all)")
    add.add_argument("--days", type=float, help="how long it works (default: until it is revoked)")
    add.add_argument("--a-minute", type=int, metavar="N", help="requests a minute (default: as the server says)")
    add.add_argument("--by", default=USER, help="who does this")
    command(key, "list", serving.key_list, "every key that was made")
    revoke = command(key, "revoke", serving.key_revoke, "let a key work no more")
    revoke.add_argument("key", metavar="KEY", help="its id or name")
    revoke.add_argument("--by", default=USER, help="who does this")
