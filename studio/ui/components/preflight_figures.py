"""Pictures of a preflight: lengths as a histogram, rows with their tokens coloured, intervals of identity terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studio.contract.preflight import Lengths, ShownRow
from studio.language import mark, tr, trn
from studio.ui.components.html import chip, number, text
from studio.ui.components.tables import Cell, interval, sortable

_WIDTH, _HEIGHT = 720, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 16, 22, 34
_KINDS = {
    "languages": mark("Languages"),
    "labels": mark("Labels"),
    "personal-data": mark("Personal data"),
    "secrets": mark("Secrets"),
}
_IDENTITY = mark("Identity terms")
_OURS = ("name", "side")
"""Columns whose texts are words of ours."""
_MOST = 60
_FIRST = 5


def histogram(lengths: Lengths) -> str:
    """Rows by their tokens, with a line at the context length; bars behind it are coloured as warnings."""
    if not lengths.counts or len(lengths.edges) != len(lengths.counts) + 1:
        return ""
    first, last = lengths.edges[0], max(lengths.edges[-1], 1)
    top = max(lengths.counts) or 1
    wide = _WIDTH - _LEFT - _RIGHT
    high = _HEIGHT - _TOP - _BOTTOM

    def x(tokens: float) -> float:
        return _LEFT + (tokens - first) / max(1, last - first) * wide

    bars = "".join(
        f'<rect class="{"over" if start >= lengths.limit else "bar"}" x="{x(start):.1f}" '
        f'y="{_TOP + high * (1 - rows / top):.1f}" width="{max(1.0, x(end) - x(start) - 1):.1f}" '
        f'height="{high * rows / top:.1f}"><title>{text(_of_bar(start, end - 1, rows))}</title></rect>'
        for start, end, rows in zip(lengths.edges, lengths.edges[1:], lengths.counts, strict=False)
        if rows
    )
    ends = "".join(
        f'<text x="{x(at):.1f}" y="{_HEIGHT - 12}" text-anchor="{side}">{text(words)}</text>'
        for at, side, words in ((first, "start", number(first)), (last, "end", tr("{number:,} tokens", number=last)))
    )
    line = _limit(x(lengths.limit), lengths.limit) if lengths.limit <= last else ""
    said = _said(lengths, beyond=not line)
    label = text(tr("Token lengths. {said}", said=said))
    return (
        f'<div class="chart pf-lengths"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
        f'<text x="{_LEFT - 8}" y="{_TOP + 4}" text-anchor="end">{number(top)}</text>'
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_HEIGHT - _BOTTOM}" y2="{_HEIGHT - _BOTTOM}"/>'
        f'{bars}{line}{ends}</svg></div><p class="quiet">{text(said)}</p>'
    )


def _said(lengths: Lengths, beyond: bool) -> str:
    """The histogram in words; `beyond`: whether the context length is longer than every row."""
    said = tr(
        "Half of the rows have {median:,} tokens or fewer, 95 % at most {p95:,}, the longest {longest:,}; {target:,} "
        "of {tokens:,} tokens carry loss.",
        median=lengths.median,
        p95=lengths.p95,
        longest=lengths.longest,
        target=lengths.target_tokens,
        tokens=lengths.tokens,
    )
    if not beyond:
        return said
    limit = tr("The context length, {limit:,} tokens, is longer than every row.", limit=lengths.limit)
    return f"{said} {limit}"


def _of_bar(first: int, last: int, rows: int) -> str:
    return trn(
        "{first:,} to {last:,} tokens: {count:,} row",
        "{first:,} to {last:,} tokens: {count:,} rows",
        rows,
        first=first,
        last=last,
    )


def _limit(at: float, limit: int) -> str:
    words = text(tr("context length {limit:,}", limit=limit))
    side, shift = ("end", -6) if at > _WIDTH / 2 else ("start", 6)
    return (
        f'<line class="limit" x1="{at:.1f}" x2="{at:.1f}" y1="4" y2="{_HEIGHT - _BOTTOM}"/>'
        f'<text class="limit" x="{at + shift:.1f}" y="14" text-anchor="{side}">{words}</text>'
    )


def shown_rows(rows: Sequence[ShownRow]) -> str:
    """Rows as the model sees them: what carries loss stands on the accent colour."""
    if not rows:
        return ""
    legend = (
        f'<p class="pf-legend"><mark class="loss">{text(tr("carries loss"))}</mark> '
        f"<span>{text(tr('is only read'))}</span> "
        f'<span class="cut">{text(tr("falls away behind the context length"))}</span></p>'
    )
    items = [_shown(row, at) for at, row in enumerate(rows)]
    more = "".join(items[_FIRST:])
    left = text(trn("{count:,} more row", "{count:,} more rows", len(rows) - _FIRST))
    folded = f'<details data-fold="more-rows"><summary>{left}</summary>{more}</details>'
    return f'{legend}<div class="pf-seen">{"".join(items[:_FIRST])}{folded if more else ""}</div>'


def _shown(row: ShownRow, at: int) -> str:
    pieces = "".join(
        f'<mark class="loss">{text(piece)}</mark>' if loss else f"<span>{text(piece)}</span>"
        for piece, loss in row.pieces
    )
    away = text(trn("… {count:,} token fall away", "… {count:,} tokens fall away", row.cut))
    cut = f'<span class="cut">{away}</span>' if row.cut else ""
    marks = chip(trn("{count:,} token", "{count:,} tokens", row.tokens))
    marks += chip(tr("{count:,} cut", count=row.cut), "bad") if row.cut else ""
    first = "".join(piece for piece, loss in row.pieces if loss).strip() or tr("no target")
    return (
        f'<details class="pf-shown" data-fold="shown{at}" {"open" if at == 0 else ""}><summary>'
        f"<b>{text(tr(row.why))}</b> {marks}<span>{text(first[:90])}</span></summary><pre>{pieces}{cut}</pre></details>"
    )


def figure_tables(figures: Mapping[str, Any]) -> str:
    """Languages, labels, kinds of personal data and secrets, identity terms: each folded, where there is any."""
    parts = [(_KINDS[name], _plain_table(name, _objects(figures.get(name)))) for name in _KINDS]
    parts.append((_IDENTITY, _bias_table(_objects(figures.get("bias")))))
    return "".join(
        f'<details class="pf-table" data-fold="{text(title)}"><summary>{text(tr(title))}</summary>{body}</details>'
        for title, body in parts
        if body
    )


def _plain_table(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    heads = {
        "languages": (
            *((tr("Side"), "side"), (tr("Language"), "language")),
            *((tr("Rows"), "rows"), (tr("Share"), "share")),
        ),
        "labels": ((tr("label").capitalize(), "label"), (tr("Rows"), "rows"), (tr("Share"), "share")),
    }
    columns = heads.get(name, ((tr("Kind"), "name"), (tr("Rows"), "rows"), (tr("Found"), "found")))
    numeric = [at for at, (_, key) in enumerate(columns) if key in ("rows", "share", "found")]
    cells = [[_cell(row.get(key), key) for _, key in columns] for row in rows[:_MOST]]
    return sortable(tr(_KINDS[name]), [head for head, _ in columns], cells, numeric) if cells else ""


def _cell(value: object, key: str) -> Cell:
    if isinstance(value, (int, float)):
        return Cell(_share(value) if key == "share" else number(value), float(value))
    shown = str(value or "")
    shown = tr(shown) if key in _OURS else shown
    return Cell(text(shown or "–"), shown)


def _bias_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """How often each group is named, how the tone of those rows differs from the rest, and the label that differs
    most; a dot with its 95 % interval, zero in the middle."""
    if not rows:
        return ""
    heads = [tr("Group"), tr("Rows"), tr("Share"), tr("Tone against the rest"), tr("Label that differs most")]
    cells = [
        [
            Cell(f"{text(row.get('group', ''))} <small>{text(row.get('kind', ''))}</small>", str(row.get("group", ""))),
            _cell(row.get("rows"), "rows"),
            _cell(row.get("share"), "share"),
            _tone(row),
            _most_different(_objects(row.get("labels"))),
        ]
        for row in rows[:_MOST]
    ]
    return sortable(tr(_IDENTITY), heads, cells, (1, 2))


def _tone(row: Mapping[str, Any]) -> Cell:
    values = [row.get(name) for name in ("tone", "tone_rest", "tone_low", "tone_high")]
    tone, rest, low, high = (value if isinstance(value, (int, float)) else None for value in values)
    if tone is None or rest is None or low is None or high is None:
        return Cell("–")
    shown = tr("{difference:+.2f}", difference=tone - rest)
    return Cell(f"{interval(low, tone - rest, high, -1, 1)} {shown}", tone - rest)


def _most_different(labels: Sequence[Mapping[str, Any]]) -> Cell:
    if not labels:
        return Cell("–")
    first = labels[0]
    share, rest, low, high = (float(first.get(name) or 0) for name in ("share", "rest", "low", "high"))
    against = text(tr("{share} against {rest}", share=_share(share), rest=_share(rest)))
    words = f"{text(first.get('label', ''))} <small>{against}</small>"
    return Cell(f"{interval(low, share - rest, high, -1, 1)} {words}", share - rest)


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _share(value: float) -> str:
    exact = 0 < value < 0.1
    return tr("{percent:.1f} %", percent=100 * value) if exact else tr("{percent:.0f} %", percent=100 * value)
