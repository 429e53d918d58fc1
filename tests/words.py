"""Collect every text that the studio says and bring the catalogs of languages/ up to date with it.

    python -m tests.words                        new texts in, without a translation; what is said no more out
    python -m tests.words --fill de FILE.json    take translations {"English": "Deutsch" or ["one", "many"]}
    python -m tests.words --missing de           what waits for a translation, as JSON

A text is what `tr`, `trn` and `mark` are given in Python and JavaScript, a StudioError's fixed sentence, and what the
page holds when it is built.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from studio import errors
from studio.context import open_studio
from studio.language import LANGUAGES, catalog_of
from studio.settings import open_workspace
from studio.ui.app import build_ui
from studio.ui.translated import page_texts

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "studio" / "languages"
OTHERS = [code for code in LANGUAGES if code != "en"]
PAGE = "page"
_ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
_SAID = re.compile(
    r"""(?<![\w.])(trn?)\(\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?:,\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))?"""
)
_SPEAKS_ENGLISH = ("studio/commands/", "studio/cli.py", "studio/checkup.py", "studio/__main__.py")
"""The command line."""
_NAME = re.compile(r"\{(\w+)(?::[^{}]*)?\}")


@dataclass(frozen=True)
class Said:
    """A text of the sources: its English, the plural's where it has one, and the file that says it."""

    text: str
    many: str
    place: str

    @property
    def key(self) -> str | tuple[str, str]:
        """Its id in a catalog."""
        return (self.text, self.many) if self.many else self.text


def collected() -> list[Said]:
    """Every text, those of files in the files' order, then the page's; a text once for each file."""
    found: dict[tuple[str, str], Said] = {}
    for file in sorted((ROOT / "studio").rglob("*")):
        place = file.relative_to(ROOT).as_posix()
        if place.startswith(_SPEAKS_ENGLISH):
            continue
        if file.suffix == ".py":
            said = python_texts(ast.parse(file.read_text(encoding="utf-8")), place)
        elif file.suffix == ".js" and file.name != "words.js":
            said = script_texts(file.read_text(encoding="utf-8"), place)
        else:
            continue
        found |= {(one.text, place): one for one in said}
    known = {one.text for one in found.values()}
    return [*found.values(), *(Said(text, "", PAGE) for text in built_texts() if text not in known)]


def python_texts(tree: ast.AST, place: str) -> Iterator[Said]:
    """What a module says. Raises SystemExit where `tr` is given a text that cannot be found in a catalog."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
            continue
        texts = [one.value for one in node.args[:2] if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        name = node.func.id
        if name == "trn" and len(texts) == 2:
            yield Said(texts[0], texts[1], place)
        elif name in {"tr", "mark", *_ERRORS} and texts[:1]:
            yield Said(texts[0], "", place)
        elif name in ("tr", "trn", "mark") and isinstance(node.args[0], ast.JoinedStr):
            raise SystemExit(f"{place}:{node.lineno}: {name} needs a literal text with {{names}}, not an f-string")


def script_texts(source: str, place: str) -> Iterator[Said]:
    """What a script says."""
    for call, text, many in _SAID.findall(source):
        yield Said(_unquoted(text), _unquoted(many) if call == "trn" else "", place)


def built_texts() -> Iterator[str]:
    """What the page holds when it is built."""
    with tempfile.TemporaryDirectory() as folder:
        studio = open_studio(open_workspace(Path(folder)))
        try:
            yield from page_texts(build_ui(studio).config)
        finally:
            studio.close()


def _unquoted(literal: str) -> str:
    return re.sub(r"\\(.)", r"\1", literal[1:-1]) if literal else ""


def names_in(text: str) -> set[str]:
    """The {names} that a text has filled in."""
    return set(_NAME.findall(text))


def updated(language: str, said: list[Said], given: dict[str, str | list[str]]) -> Catalog:
    """The language's catalog with exactly the texts of `said`: translated as before, or as `given`."""
    path, catalog = FOLDER / f"{language}.po", Catalog(locale=language, project="SFT Studio", fuzzy=False)
    before = {_text(one.id): one.string for one in catalog_of(language)} if path.exists() else {}
    for one in said:
        string = given.get(one.text, before.get(one.text, ""))
        forms = catalog.num_plurals
        if one.many:
            known = list(string) if isinstance(string, list | tuple) else [string] * forms
            string = tuple(known if len(known) == forms else known[-1:] * forms)
        elif isinstance(string, list | tuple):
            string = string[-1]
        catalog.add(one.key, string, locations=[(one.place, None)])
    return catalog


def _text(key: str | tuple[str, ...] | list[str]) -> str:
    return key if isinstance(key, str) else key[0]


def main() -> int:
    """Write the catalogs, or print what they lack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fill", nargs=2, metavar=("LANGUAGE", "FILE"))
    parser.add_argument("--missing", choices=OTHERS)
    options = parser.parse_args()
    if options.missing:
        lacking = [one for one in catalog_of(options.missing) if one.id and not all(_forms(one.string))]
        print(json.dumps([one.id for one in lacking], ensure_ascii=False, indent=0))
        return 0
    given = json.loads(Path(options.fill[1]).read_text(encoding="utf-8")) if options.fill else {}
    said = collected()
    for language in [options.fill[0]] if options.fill else OTHERS:
        catalog = updated(language, said, given)
        with (FOLDER / f"{language}.po").open("wb") as file:
            write_po(file, catalog, width=0, omit_header=True, sort_output=True)
        done = sum(all(_forms(one.string)) for one in catalog if one.id)
        print(f"{language}: {done} of {len(catalog)} texts translated")
    return 0


def _forms(string: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return (string,) if isinstance(string, str) else tuple(string)


if __name__ == "__main__":
    sys.exit(main())
