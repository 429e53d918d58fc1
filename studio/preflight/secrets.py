"""Keys, tokens and passwords in text, by their known forms and, behind names such as api_key, by how random they are.

What it leaves out: whether a key still works, and random strings that nothing calls a key.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from studio.language import mark

NAMES = {
    "PRIVATE_KEY": mark("Private key"),
    "AWS_KEY": mark("AWS key"),
    "GOOGLE_KEY": mark("Google key"),
    "GITHUB_TOKEN": mark("GitHub token"),
    "GITLAB_TOKEN": mark("GitLab token"),
    "SLACK_TOKEN": mark("Slack token"),
    "OPENAI_KEY": mark("OpenAI or Anthropic key"),
    "STRIPE_KEY": mark("Stripe key"),
    "HUGGINGFACE_TOKEN": mark("Hugging Face token"),
    "NPM_TOKEN": mark("npm or PyPI token"),
    "SENDGRID_KEY": mark("SendGrid, Twilio or Telegram key"),
    "AZURE_KEY": mark("Azure key"),
    "JWT": mark("JSON web token"),
    "PASSWORD": mark("Password"),
    "SECRET": mark("Key named as one"),
}
"""Kinds as in the placeholders, and what a screen calls them."""

_FORMS: dict[str, str] = {
    "PRIVATE_KEY": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----(?:(?!-----BEGIN)[\s\S]){0,8000}?"
    r"(?:-----END (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    "AWS_KEY": r"\b(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{16}\b",
    "GOOGLE_KEY": r"\bAIza[0-9A-Za-z_-]{35}(?![\w-])|\bya29\.[0-9A-Za-z_-]{20,}|\bGOCSPX-[\w-]{28}(?![\w-])",
    "GITHUB_TOKEN": r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b|\bgithub_pat_[A-Za-z0-9_]{22,255}\b",
    "GITLAB_TOKEN": r"\bglpat-[\w-]{20,}",
    "SLACK_TOKEN": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bhttps://hooks\.slack\.com/services/[A-Z0-9]+/[A-Z0-9]+/\w+",
    "OPENAI_KEY": r"\bsk-(?:ant-|proj-|svcacct-|or-)?[A-Za-z0-9_-]{20,}",
    "STRIPE_KEY": r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}\b|\bwhsec_[A-Za-z0-9]{24,}\b",
    "HUGGINGFACE_TOKEN": r"\bhf_[A-Za-z0-9]{30,}\b",
    "NPM_TOKEN": r"\bnpm_[A-Za-z0-9]{36}\b|\bpypi-[A-Za-z0-9_-]{40,}",
    "SENDGRID_KEY": r"\bSG\.[\w-]{16,}\.[\w-]{16,}|\b(?:SK|AC)[0-9a-f]{32}\b|\b\d{8,10}:AA[\w-]{33}(?![\w-])",
    "AZURE_KEY": r"\b(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,}={0,2}",
    "JWT": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{8,}",
}
_KNOWN = {kind: re.compile(form) for kind, form in _FORMS.items()}
_HINT = re.compile(
    r"PRIVATE KEY|A[KSRIBC][IODC]A[A-Z0-9]|AIza|ya29\.|GOCSPX|gh[pousr]_|github_pat_|glpat-|xox|hooks\.slack|sk-"
    r"|[srp]k_|whsec_|hf_|npm_|pypi-|SG\.|SK[0-9a-f]{8}|AC[0-9a-f]{8}|:AA|AccountKey|SharedAccessKey|eyJ|://[^\s/]*@"
    r"|(?i:key|secret|token|passw|pwd|credential|bearer)"
)
"""One of these stands in every text that the forms below can match: most texts are done with after it."""

_URL = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,64}:(?P<value>[^\s:/@\"'<>]{3,128})@(?=[\w\[])")
_BEARER = re.compile(r"\b[Bb]earer\s+(?P<value>[A-Za-z0-9_~+/=.-]{20,})")
_ASSIGNED = re.compile(
    r"(?i)(?<![a-z])(?:[a-z0-9]{1,30}[_.-]){0,4}(?:api[_ -]?key|access[_ -]?key(?:[_ -]?id)?|"
    r"secret(?:[_ -]?(?:access[_ -]?)?key)?|client[_ -]?secret|(?:access|auth|api|refresh|session|id|private|bot)"
    r"[_ -]?token|token|encryption[_ -]?key|private[_ -]?key)"
    r"[\"']?\s*(?::=|[:=]|=>|\bis\b)\s*[\"'`]?(?P<value>[A-Za-z0-9_\-+/=.~]{12,256})"
)
_PASSWORD = re.compile(
    r"(?i)(?<![a-z])(?:[a-z0-9]{1,30}[_.-]){0,4}(?:password|passwd|passwort|passphrase|pwd)[\"']?\s*(?::=|[:=]|=>|\bis\b:?)\s*"
    r"(?P<quote>[\"'`]?)(?P<value>[^\s\"'`<>{}()]{6,64})"
)
_PLACEHOLDER = re.compile(
    r"(?i)^(?:[x*.•#_-]+|.*(?:your|example|placeholder|changeme|redacted|dummy|insert|xxxx|\.\.\.|<|\[|\$\{|\{\{).*|none|null"
    r"|true|false|undefined|required|optional|string|password\d?|[a-z_]+\.[a-z_.]+|[a-z]+(?:[_-][a-z]+)+)$"
)
_MIXED = (re.compile(r"[A-Za-z]"), re.compile(r"\d"))
_LEAST_BITS, _MOST_BITS = 3.0, 4.3

Span = tuple[int, int, str]


def secret_spans(text: str) -> list[Span]:
    """Start, end and kind of each secret in a text, in order, none over another."""
    if not _HINT.search(text):
        return []
    found: list[Span] = []
    for start, end, kind in _all(text):
        if all(end <= first or last <= start for first, last, _ in found):
            found.append((start, end, kind))
    return sorted(found)


def _all(text: str) -> Iterator[Span]:
    """Known forms first: they say best what a key is."""
    for kind, form in _KNOWN.items():
        for match in form.finditer(text):
            if kind == "PRIVATE_KEY" or not _is_placeholder(match.group()):
                yield match.start(), match.end(), kind
    for match in _URL.finditer(text):
        if not _is_placeholder(match["value"]):
            yield *match.span("value"), "PASSWORD"
    for match in _BEARER.finditer(text):
        if _is_random(match["value"]):
            yield *match.span("value"), "SECRET"
    for match in _ASSIGNED.finditer(text):
        if _is_random(match["value"].rstrip(".")):
            yield match.start("value"), match.start("value") + len(match["value"].rstrip(".")), "SECRET"
    for match in _PASSWORD.finditer(text):
        value = match["value"].rstrip(".,;!?")
        if _is_password(value):
            yield match.start("value"), match.start("value") + len(value), "PASSWORD"


def _is_placeholder(value: str) -> bool:
    """What stands for a key in a text about keys; a value as random as a key is one, even with "example" in it."""
    return bool(_PLACEHOLDER.match(value)) and entropy(value) < _MOST_BITS and not value.startswith("AKIA")


def _is_random(value: str) -> bool:
    """Letters and digits in no pattern: a key, not a word, a path or a version."""
    mixed = all(form.search(value) for form in _MIXED)
    return mixed and not _is_placeholder(value) and entropy(value) >= _LEAST_BITS


def _is_password(value: str) -> bool:
    """What nobody would write as a word: a letter, and a digit or a mark between others."""
    odd = re.search(r"\d", value) or re.search(r"[^\w\s.,:;-]", value)
    return bool(re.search(r"[A-Za-z]", value)) and bool(odd) and len(value) >= 6 and not _is_placeholder(value)


def entropy(text: str) -> float:
    """Bits a character, by how often each occurs in the text itself (Shannon)."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
