"""What the Monitor tab shows, as HTML: figures with their plots, alerts, drift, and requests that could be labeled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from studio.deploy.drifting import KeptDrift
from studio.deploy.label_these import REASONS, Candidate
from studio.deploy.monitoring import KINDS, LEAST, Alert, Bucket, Monitor
from studio.ui.components.html import chip, count, empty, moment, notice, table, text
from studio.ui.components.monitor_plot import small_bars, small_lines

NO_PROJECT = empty("No project in hand", "Choose or create one on the Projects tab.")
NOTHING = empty(
    "Nothing was served yet: start a server in Deploy",
    "From the first request on, this page shows how many there were, how fast the answers came and what people "
    "thought of them.",
)
NO_ALERTS = (
    "<p class='quiet'>No limit is set: set some below, and this page tells when a figure goes beyond its limit.</p>"
)
NO_DRIFT = (
    "<p class='quiet'>Nobody has looked yet. A look compares the prompts of the last seven days with those that the "
    "run in production was trained on: meaning, length and language.</p>"
)
NO_CANDIDATES = empty(
    "Nothing to label here",
    "Answers with a thumb down, prompts about new topics and answers that the model was unsure of are listed here. "
    "Only requests whose text is kept can be: that is a choice when a server is started in Deploy.",
)

WINDOWS: Mapping[str, tuple[str, float, int]] = {
    "hour": ("Last hour", 1.0, 60),
    "day": ("Day", 24.0, 48),
    "week": ("Week", 168.0, 56),
    "month": ("30 days", 720.0, 60),
}
"""What can be looked at: words, hours, and into how many stretches of time."""

_AGO = {"hour": "1 hour ago", "day": "24 hours ago", "week": "7 days ago", "month": "30 days ago"}
_SHOWN_LETTERS = 600
_MOST_LANGUAGES = 4

Value = float | None


def figures_html(found: Monitor, window: str, newest: datetime | None) -> str:
    """The figures of a window; `newest`: when the newest request of the project came, None without any."""
    if newest is None:
        return NOTHING
    whole, each = found.overall, found.buckets
    left = f"{whole.rejected:,} refused as wrong or too many · {whole.left:,} left before the end"
    cards = [
        _counts("Requests", f"{whole.requests:,}", left, small_bars([b.requests for b in each], None, "")),
        _lines("Latency", "ms", whole, each, lambda b: b.p50_ms, lambda b: b.p95_ms, f"of {whole.answered:,} answers"),
        _lines(
            *("First token", "ms", whole, each, lambda b: b.first_p50_ms, lambda b: b.first_p95_ms),
            "of answers that were streamed",
        ),
        _rate("Tokens a second", whole, each, lambda b: b.tokens_per_second, f"{whole.answer_tokens:,} answer tokens"),
        _share(
            "Errors", whole, each, lambda b: b.error_rate, f"{whole.errors:,} of {count(whole.requests, 'request')}"
        ),
        _counts(
            *("Thumbs up", _per_cent(whole.up_share), f"{whole.up:,} up · {whole.down:,} down"),
            small_bars([b.up for b in each], [b.down for b in each], ""),
        ),
        _share(
            *("Refusals", whole, each, lambda b: b.refusal_rate),
            f"{whole.refusals:,} of {count(whole.texts, 'answer')} with text kept",
        ),
        _share(
            *("Answers out of form", whole, each, lambda b: b.form_failure_rate),
            f"{whole.form_failures:,} of {count(whole.forms, 'answer')} asked for a form",
        ),
    ]
    none = "" if whole.requests else f" None in this time: the newest came {moment(newest)}."
    head = (
        f"<p class='quiet mon-span'>{moment(found.start)} to {moment(found.end)}, each step {_step(found)}.{none}</p>"
    )
    ends = f"<div class='mon-ends'><span>{_AGO.get(window, '')}</span><span>now</span></div>"
    return head + '<div class="mon-figures">' + "".join(card.replace("<!--ends-->", ends) for card in cards) + "</div>"


def _step(found: Monitor) -> str:
    minutes = found.seconds / 60
    if minutes < 1:
        return count(round(found.seconds), "second")
    return count(round(minutes), "minute") if minutes < 60 else count(round(minutes / 60), "hour")


def _card(name: str, value: str, quiet: str, plot: str, nothing: bool) -> str:
    """One figure; `value` is HTML, the rest text; `plot` is a plot without words."""
    said = text(f"{name} over time. {quiet}")
    picture = plot.replace('aria-label=""', f'aria-label="{said}"')
    return (
        f'<div class="mon-card{" none" if nothing else ""}"><h3>{text(name)}</h3><p class="value">{value}</p>'
        f'<div class="chart small">{picture}<!--ends--></div><p class="quiet">{text(quiet)}</p></div>'
    )


def _counts(name: str, value: str, quiet: str, plot: str) -> str:
    return _card(name, text(value), quiet, plot, value in ("0", "–"))


def _lines(
    name: str,
    unit: str,
    whole: Bucket,
    each: Sequence[Bucket],
    middle: Callable[[Bucket], Value],
    high: Callable[[Bucket], Value],
    quiet: str,
) -> str:
    value = "–"
    if middle(whole) is not None:
        value = (
            f'{_ms(middle(whole))} <small class="p50">p50</small> · {_ms(high(whole))} <small class="p95">p95</small>'
        )
    plot = small_lines([[high(b) for b in each], [middle(b) for b in each]], None, "")
    return _card(f"{name} ({unit})", value, quiet, plot, middle(whole) is None)


def _rate(name: str, whole: Bucket, each: Sequence[Bucket], value: Callable[[Bucket], Value], quiet: str) -> str:
    found = value(whole)
    plot = small_lines([[value(b) for b in each]], None, "")
    return _card(name, "–" if found is None else f"{found:,.1f}", quiet, plot, found is None)


def _share(name: str, whole: Bucket, each: Sequence[Bucket], value: Callable[[Bucket], Value], quiet: str) -> str:
    plot = small_lines([[value(b) for b in each]], 0.05, "", per_cent=True)
    return _card(name, _per_cent(value(whole)), quiet, plot, value(whole) is None)


def _ms(value: Value) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _per_cent(share: Value) -> str:
    if share is None:
        return "–"
    return f"{100 * share:.1f} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"


def alerts_html(alerts: Sequence[Alert], limited: bool) -> str:
    """Alerts that are open, then past ones; `limited`: whether any limit is set."""
    opened = [one for one in alerts if one.ended_at is None]
    past = [one for one in alerts if one.ended_at is not None]
    now = "".join(notice_of(one) for one in opened)
    if not opened:
        quiet = f"<p class='quiet'>No alert: over the last hour every figure that rests on {LEAST} requests or more is "
        now = f"{quiet}within its limit.</p>" if limited else NO_ALERTS
    if not past:
        return now
    rows = "".join(
        f"<tr><td>{text(_kind(one.kind))}</td><td class='num'>{amount(one.kind, one.value)}</td>"
        f"<td class='num'>{amount(one.kind, one.threshold)}</td><td>{moment(one.created_at)}</td>"
        f"<td>{moment(one.ended_at) if one.ended_at else ''}</td><td>{text(one.delivery or 'not sent')}</td></tr>"
        for one in past
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Figure", "Was", "Limit", "From", "Until", "Webhook"))
    return (
        f"{now}<details class='why' data-fold='past'><summary>{count(len(past), 'past alert')}</summary>"
        f"<div class='table'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def notice_of(alert: Alert) -> str:
    """An alert that is open, as a sentence."""
    below = alert.kind == "drift" or (alert.kind in KINDS and KINDS[alert.kind].below)
    sent = f" Webhook: {text(alert.delivery)}." if alert.delivery else ""
    return (
        f'<div class="notice bad" role="status"><p><b>{text(_kind(alert.kind))}</b> '
        f"{'fell to' if below else 'rose to'} {amount(alert.kind, alert.value)} "
        f"(limit {amount(alert.kind, alert.threshold)}), open since {moment(alert.created_at)}.{sent}</p></div>"
    )


def _kind(kind: str) -> str:
    return KINDS[kind].words if kind in KINDS else kind


def amount(kind: str, value: float) -> str:
    """A figure with its unit, as text."""
    if kind == "drift":
        return p_value(value)
    if kind not in KINDS or not KINDS[kind].share:
        return f"{value:,.0f} ms" if kind == "p95_ms" else f"{value:,.4g}"
    return f"{100 * value:.3g} %"


def p_value(p: object) -> str:
    """A p-value as people write it, as text in HTML."""
    if not isinstance(p, (int, float)):
        return "not told"
    return "p&nbsp;&lt;&nbsp;0.001" if p < 0.001 else f"p&nbsp;=&nbsp;{p:.3f}"


def drift_html(found: KeptDrift | None) -> str:
    """What the newest look at the prompts found."""
    if found is None:
        return NO_DRIFT
    report = found.report
    head = notice("warn" if found.drifted else "good", str(report.get("sentence", "")))
    quiet = (
        f"<p class='quiet'>{_whole(report, 'now')} prompts of {_window(report)} against {_whole(report, 'before')} "
        f"that were trained on (snapshot {text(str(report.get('snapshot', ''))[:8])}), looked at "
        f"{moment(found.created_at)}. All tests together: {p_value(report.get('p'))}; below 0.01 is called drift.</p>"
    )
    return f"{head}{quiet}{_tests(report)}{_topics(report)}"


def _tests(report: Mapping[str, object]) -> str:
    distance = report.get("distance")
    apart = f"{100 * distance:.1f} % apart" if isinstance(distance, (int, float)) else "–"
    shares = report.get("languages")
    rows = [
        ("Meaning", f"{apart} (0 % is alike, 100 % has nothing in common)", p_value(report.get("p_meaning"))),
        (
            *("Length", f"{_whole(report, 'length_before')} → {_whole(report, 'length_now')} characters (median)"),
            p_value(report.get("p_length")),
        ),
        (
            *("Language", _languages(shares) if isinstance(shares, dict) else "too short to tell"),
            "texts too short to tell" if report.get("p_languages") is None else p_value(report.get("p_languages")),
        ),
    ]
    body = "".join(f"<tr><td>{name}</td><td>{text(what)}</td><td>{p}</td></tr>" for name, what, p in rows)
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Compared", "Trained on → served", "By chance"))
    return f"<div class='table'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _languages(shares: Mapping[str, object]) -> str:
    known = [(name, pair) for name, pair in shares.items() if isinstance(pair, (list, tuple)) and len(pair) == 2]
    known.sort(key=lambda one: -max(one[1]))
    told = [f"{name} {100 * pair[0]:.0f} % → {100 * pair[1]:.0f} %" for name, pair in known[:_MOST_LANGUAGES]]
    return ", ".join(told) or "too short to tell"


def _topics(report: Mapping[str, object]) -> str:
    topics = report.get("topics")
    parts = []
    for number, topic in enumerate(topics if isinstance(topics, (list, tuple)) else (), 1):
        if isinstance(topic, Mapping):
            prompts = "".join(f"<li>{text(one)}</li>" for one in topic.get("prompts", ()))
            share, asked = topic.get("share", 0.0), len(topic.get("requests", ()))
            words = f"{100 * share:.0f} % of the prompts, {count(asked, 'request')}"
            parts.append(f"<li><b>New topic {number}</b> {chip(words)}<ul>{prompts}</ul></li>")
    return f"<ul class='mon-topics'>{''.join(parts)}</ul>" if parts else ""


def _window(report: Mapping[str, object]) -> str:
    ends = report.get("window")
    try:
        start, end = (datetime.fromisoformat(str(one)) for one in ends)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return "the last days"
    return f"{moment(start)} to {moment(end)}"


def _whole(report: Mapping[str, object], name: str) -> str:
    value = report.get(name)
    return f"{value:,.0f}" if isinstance(value, (int, float)) else "–"


def candidates_html(found: Sequence[Candidate], taken: Mapping[str, int]) -> str:
    """The requests that could be labeled, by reason, each with a box; `taken`: how many became examples so far."""
    so_far = sum(taken.values())
    told = f"<p class='quiet'>{count(so_far, 'request')} became examples so far.</p>" if so_far else ""
    if not found:
        return NO_CANDIDATES + told
    groups = "".join(_group(reason, [one for one in found if one.reason == reason]) for reason in REASONS)
    return (
        '<div class="mon-acts"><button type="button" class="mon-take" data-take disabled>Put into the labeling queue'
        f"</button><output>None chosen</output></div>{groups}{told}"
    )


def _group(reason: str, rows: Sequence[Candidate]) -> str:
    if not rows:
        return ""
    body = "".join(_row(one) for one in rows)
    return (
        f'<div data-reason="{text(reason)}"><label class="mon-all"><input type="checkbox" data-all> '
        f"<span><b>{text(REASONS[reason])}</b> · all {len(rows):,} shown</span></label>"
        f'<div class="mon-rows" tabindex="0">{body}</div></div>'
    )


def _row(one: Candidate) -> str:
    asked = next((turn.content for turn in reversed(one.request.prompt) if turn.role == "user"), "")
    sure = one.request.confidence
    marks = chip(REASONS[one.reason], "bad" if one.reason == "low-rated" else "warn")
    if sure is not None:
        marks += chip(f"confidence {sure:.2f}")
    return (
        f'<label class="mon-row"><input type="checkbox" data-row="{text(one.request.id)}">'
        f'<span class="who">Prompt</span><p>{text(_short(asked))}</p>'
        f'<span class="who">Answer</span><p>{text(_short(one.request.answer)) or "–"}</p>'
        f'<span class="marks">{marks} <small>{moment(one.request.at)}</small></span></label>'
    )


def _short(said: str) -> str:
    return said if len(said) <= _SHOWN_LETTERS else f"{said[:_SHOWN_LETTERS]} …"


def figures_table(found: Monitor) -> str:
    """The stretches of time with a request as a table, for reading exact figures."""
    rows = [
        (
            *(f"{b.start:%Y-%m-%d %H:%M}", f"{b.requests:,}", _ms(b.p50_ms), _ms(b.p95_ms)),
            *("–" if b.tokens_per_second is None else f"{b.tokens_per_second:,.1f}", _per_cent(b.error_rate)),
            *(f"{b.up:,} / {b.down:,}", _per_cent(b.refusal_rate), _per_cent(b.form_failure_rate)),
        )
        for b in found.buckets
        if b.requests
    ]
    head = ("From (UTC)", "Requests", "p50 ms", "p95 ms", "Tokens/s", "Errors", "Up / down", "Refusals", "Out of form")
    return table(head, rows, numeric=range(1, 9)) if rows else ""
