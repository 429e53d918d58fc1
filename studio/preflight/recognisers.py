"""Personal data in one text: presidio's pattern recognisers behind cheap looks that most texts do not pass.

The recognisers run without any language model. Their known false hits are turned away here: numbers that only look like
a phone, a card or a licence, version numbers as addresses, one number taken for two kinds. Nothing is fetched. What it
leaves out: names, addresses and dates of people, which no pattern tells from other words."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from studio.language import mark

NAMES = {
    "EMAIL": mark("E-mail address"),
    "IBAN": "IBAN",
    "CARD": mark("Payment card"),
    "SSN": mark("US social security number"),
    "TAX_ID": mark("Tax or identity number"),
    "MEDICAL_LICENCE": mark("Medical licence (DEA)"),
    "HEALTH_ID": mark("Health service number"),
    "IP": mark("IP address"),
    "MAC": mark("MAC address"),
    "WALLET": mark("Bitcoin wallet"),
    "PHONE": mark("Phone number"),
}
"""Kinds as in the placeholders, and what a screen calls them; where two overlap, the earlier one wins."""

Span = tuple[int, int, str]

_NEAR = 48
_LONGEST_ADDRESS, _WINDOW = 254, 1000
_REGIONS = ("US", "GB", "DE", "FR", "IN", "ES", "IT", "AU")

_PHONE_WORDS = r"phone|call|tel|mobile|cell|fax|whatsapp|sms|text me|dial|ring|reach|contact|hotline|handy|number is"
_CONTEXT = {
    "SSN": r"ssn|social|security|tax",
    "MEDICAL_LICENCE": r"dea\b|medical|licen[sc]e|prescri|physician|doctor|\bdr\b|practitioner|pharmac",
    "NHS": r"\bnhs\b|health service",
    "NPI": r"\bnpi\b|provider",
    "MBI": r"medicare|\bmbi\b",
    "PESEL": r"pesel",
    "AADHAAR": r"aadh?aar|uidai",
    "DE_TAX": r"steuer|tax|idnr",
    "NINO": r"insurance|\bnino?\b|national",
    "ITIN": r"itin|tax",
    "PHONE": _PHONE_WORDS,
    "IP": r"\bip\b|ipv|address|host|server|ping|dns|gateway|subnet|login|logged|connect",
    "CARD": r"card|visa|master|amex|maestro|credit|debit|payment",
}
_WORDS = {kind: re.compile(words, re.IGNORECASE) for kind, words in _CONTEXT.items()}
_VERSION = re.compile(
    r"(?:\bv|\bversion|\brelease|\bver\.?|\bbuild|\bsection|\bchapter|§|[=~<>^]=?|\d\.)\s*$", re.IGNORECASE
)
_ID_WORDS = re.compile(
    r"(?:order|invoice|tracking|ticket|case|reference|ref|article|item|serial|isbn|sku|part|model|transaction|booking|account)"
    r"\W{0,3}(?:no|nr|num|number|id|code|#)?\W{0,4}(?:is\W)?\W{0,3}$",
    re.IGNORECASE,
)
_NO_PERSON = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9"})
_CARDS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|(?:6011|65\d\d|64[4-9]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}|(?:50|5[6-9]|6\d)\d{14}"
)


@dataclass(frozen=True)
class _Kind:
    """What is looked for: a regular expression that is cheap to try, presidio's recogniser, and who may turn a hit
    away."""

    name: str
    look: re.Pattern[str]
    recogniser: Callable[[], Any]
    keep: Callable[[str, int, int], bool] = lambda text, start, end: True


def personal_spans(text: str) -> list[Span]:
    """Start, end and kind of each piece of personal data in a text, in order, none over another."""
    if "@" not in text and "(at)" not in text and "[at]" not in text and not _DIGITS.search(text):
        return []
    rank = {kind: place for place, kind in enumerate(NAMES)}
    found: list[Span] = []
    for start, end, kind in sorted(_all(text), key=lambda span: (rank[span[2]], span[0] - span[1])):
        if all(end <= first or last <= start for first, last, _ in found):
            found.append((start, end, kind))
    return sorted(found)


def _all(text: str) -> Iterator[Span]:
    for kind in _KINDS:
        if kind.look.search(text):
            for hit in kind.recogniser().analyze(text, []):
                if hit.score > 0 and kind.keep(text, hit.start, hit.end):
                    yield hit.start, hit.end, kind.name
    yield from _emails(text)
    yield from _cards(text)
    yield from _phones(text)


def _emails(text: str) -> Iterator[Span]:
    """Addresses around each @, a window at a time: the recogniser looks at a long text once for each of its words."""
    done = 0
    for match in re.finditer(r"\w@\w", text):
        if match.start() < done:
            continue
        first, done = max(0, match.start() - _LONGEST_ADDRESS), match.end() + _WINDOW
        for hit in _recogniser("EmailRecognizer").analyze(text[first : done + _LONGEST_ADDRESS], []):
            if hit.score > 0:
                yield first + hit.start, first + hit.end, "EMAIL"
    yield from ((match.start(), match.end(), "EMAIL") for match in _WRITTEN_OUT.finditer(text))


def _said(kind: str, text: str, start: int, end: int) -> bool:
    """Whether a word of the kind stands near."""
    return bool(_WORDS[kind].search(text, max(0, start - _NEAR), min(len(text), end + _NEAR // 2)))


def _alone(text: str, start: int, end: int) -> bool:
    """Whether a hit is no part of a longer number or word."""
    before, after = text[start - 1 : start] if start else "", text[end : end + 1]
    return not (before.isalnum() or after.isalnum() or (after in "-." and text[end + 1 : end + 2].isdigit()))


def _is_address(text: str, start: int, end: int) -> bool:
    """An address of somebody: no loopback, no mask, no public resolver, and no version number or time."""
    value = text[start:end]
    try:
        address = ipaddress.ip_interface(value).ip
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or address.is_multicast or str(address) in _NO_PERSON:
        return False
    if address.version == 6:
        return value.count(":") >= 3 and bool(re.search(r"\d", value)) and len(value) >= 8
    parts = value.split("/")[0].split(".")
    if parts[0] in ("0", "255") or (text[end : end + 2].startswith(".") and text[end + 1 : end + 2].isdigit()):
        return False
    if _VERSION.search(text, max(0, start - 12), start):
        return False
    return max(map(int, parts)) > 31 or _said("IP", text, start, end)


def _is_ssn(text: str, start: int, end: int) -> bool:
    """Three groups with hyphens, or any form of nine digits behind a word that says so."""
    value = text[start:end]
    if not _alone(text, start, end) or value[0] == "9" or _ID_WORDS.search(text, max(0, start - 32), start):
        return False
    return bool(re.fullmatch(r"\d{3}-\d\d-\d{4}", value)) or _said("SSN", text, start, end)


def _cards(text: str) -> Iterator[Span]:
    """Card numbers: the checksum alone lets a tenth of all numbers pass, so also an issuer's first digits and
    length."""
    for match in _CARD_LOOK.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if not (_CARDS.fullmatch(digits) and _recogniser("CreditCardRecognizer").validate_result(digits)):
            continue
        start, end = match.span()
        grouped = len(digits) < len(match.group())
        odd = _ID_WORDS.search(text, max(0, start - 32), start) or digits[:2] in ("50", "56", "57", "58", "59")
        if (grouped and not odd) or not odd or _said("CARD", text, start, end):
            yield start, end, "CARD"


def _phones(text: str) -> Iterator[Span]:
    """Phone numbers that a telephone plan has: with a plus sign, in a usual form, or behind a word that says so."""
    for match in _PHONE_LOOK.finditer(text):
        start, end = match.span()
        value = match.group()
        if (
            not 7 <= sum(map(str.isdigit, value)) <= 15
            or re.search(r"\s[-/]\s", value)
            or re.fullmatch(r"\d{4}[-/. ]\d\d?[-/. ]\d\d?.*", value)
        ):
            continue
        usual = value.startswith(("+", "00")) or _USUAL_PHONE.fullmatch(value)
        said = _said("PHONE", text, start, start)
        if not (usual or said) or (
            not value.startswith("+") and not said and _ID_WORDS.search(text, max(0, start - 32), start)
        ):
            continue
        if _in_a_plan(value):
            yield start, end, "PHONE"


def _in_a_plan(value: str) -> bool:
    return bool(_recogniser("PhoneRecognizer").analyze(value, []))


_DIGITS = re.compile(r"\d(?:[^\n]{0,3}\d){4}|:[0-9a-fA-F]{0,4}:|\b(?:bc1|[13])[a-zA-HJ-NP-Z0-9]{25}")
_WRITTEN_OUT = re.compile(
    r"\b[\w.+-]{1,64}\s?[\[({]\s?at\s?[\])}]\s?[\w-]{1,63}(?:\s?(?:[\[({]\s?dot\s?[\])}]|\.|\bdot\b)\s?[A-Za-z]{2,24}){1,3}\b",
    re.IGNORECASE,
)
_CARD_LOOK = re.compile(r"(?<![\w.+-])(?<!\d )\d{4}(?:[ -]?\d{2,7}){2,4}(?![\w]|[-.]\d)")
_PHONE_LOOK = re.compile(
    r"(?<![\w.,$€£=*/:-])(?:\+|\(|00|\d)[\d().\-/ \u00a0\u2010\u2011]{5,22}\d(?![\w]|[.,:-]\d|\s?[%=€$*×])"
)
_USUAL_PHONE = re.compile(
    r"1?[ .-]?\(?[2-9]\d\d\)?[ .-]{1,2}\d{3}[ .-]\d{4}"  # North America
    r"|\(?0\d{1,5}\)?[ /.-]{1,2}\d[\d /.-]{4,14}"  # with the trunk's 0
    r"|[6-9]\d{4} \d{5}"  # India
)


@cache
def _recogniser(name: str) -> Any:
    """One of presidio's recognisers (the import takes seconds)."""
    from presidio_analyzer import predefined_recognizers as known

    if name == "PhoneRecognizer":
        return known.PhoneRecognizer(supported_regions=_REGIONS, leniency=1)
    return _offline(known.EmailRecognizer) if name == "EmailRecognizer" else getattr(known, name)()


def _offline(recogniser: Any) -> Any:
    """The e-mail recogniser with the list of suffixes that lies in tldextract's package: it would fetch a newer one."""
    import tldextract

    extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    class Offline(recogniser):  # type: ignore[misc]
        def validate_result(self, pattern_text: str) -> bool:
            return bool(extract(pattern_text.rsplit("@", 1)[-1]).suffix) or pattern_text.endswith((".example", ".test"))

    return Offline()


def _kind(name: str, look: str, recogniser: str, words: str = "") -> _Kind:
    """A kind whose hits stand alone and, where `words` names some, near one of them."""

    def keep(text: str, start: int, end: int) -> bool:
        return _alone(text, start, end) and (not words or _said(words, text, start, end))

    return _Kind(name, re.compile(look), lambda: _recogniser(recogniser), keep)


_KINDS = (
    _kind("IBAN", r"\b[A-Z]{2}\d\d[ -]?[A-Z0-9]{4}", "IbanRecognizer"),
    _Kind("SSN", re.compile(r"\b\d{3}[-. ]?\d\d[-. ]?\d{4}\b"), lambda: _recogniser("UsSsnRecognizer"), _is_ssn),
    _Kind(
        "IP",
        re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d|[0-9a-fA-F]:[0-9a-fA-F:]*:[0-9a-fA-F]"),
        lambda: _recogniser("IpRecognizer"),
        _is_address,
    ),
    _kind("MAC", r"\b[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}", "MacAddressRecognizer"),
    _kind("WALLET", r"\b(?:bc1|[13])[a-zA-HJ-NP-Z0-9]{25,59}\b", "CryptoRecognizer"),
    _kind("MEDICAL_LICENCE", r"\b[A-Za-z][A-Za-z9]\d{7}\b", "MedicalLicenseRecognizer", "MEDICAL_LICENCE"),
    _kind("HEALTH_ID", r"\b\d{3}[- ]?\d{3}[- ]?\d{4}\b", "NhsRecognizer", "NHS"),
    _kind("HEALTH_ID", r"\b[12]\d{3}[ -]?\d{3}[ -]?\d{3}\b", "UsNpiRecognizer", "NPI"),
    _kind("HEALTH_ID", r"\b[1-9][A-Z][A-Z0-9]\d-?[A-Z]", "UsMbiRecognizer", "MBI"),
    _kind("TAX_ID", r"\b\d{11}\b", "PlPeselRecognizer", "PESEL"),
    _kind("TAX_ID", r"\b\d{4}[- ]?\d{4}[- ]?\d{4}\b", "InAadhaarRecognizer", "AADHAAR"),
    _kind("TAX_ID", r"\b[1-9]\d{10}\b", "DeTaxIdRecognizer", "DE_TAX"),
    _kind("TAX_ID", r"\b9\d\d[- ]?\d\d[- ]?\d{4}\b", "UsItinRecognizer", "ITIN"),
    _kind("TAX_ID", r"\b[A-Za-z]{2} ?\d\d ?\d\d ?\d\d ?[A-Da-d]\b", "UkNinoRecognizer", "NINO"),
    _kind("TAX_ID", r"\b\d{7,8}-?[A-Z]\b", "EsNifRecognizer"),
    _kind("TAX_ID", r"(?i)\b[A-Z]{6}[0-9LMNP-V]{2}[A-Z]", "ItFiscalCodeRecognizer"),
    _kind("TAX_ID", r"\b\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]\b", "FiPersonalIdentityCodeRecognizer"),
)
"""The order does not count: overlaps are settled by NAMES."""
