"""What the Monitor tab shows, as HTML: figures with their plots, alerts, drift, and requests that could be labeled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from studio.deploy.drift import ALPHA
from studio.deploy.drifting import KeptDrift
from studio.deploy.label_these import REASONS, Candidate
from studio.deploy.monitoring import KINDS, LEAST, Alert, Bucket, Monitor
from studio.deploy.sentences import LOOKS, NOT_SENT, OUTCOMES, retold
from studio.language import mark, tr, trn
from studio.ui.components.html import chip, empty, moment, notice, table, text
from studio.ui.components.monitor_plot import small_bars, small_lines

WINDOWS: Mapping[str, tuple[str, float, int]] = {
    "hour": ("Last hour", 1.0, 60),
    "day": ("Day", 24.0, 48),
    "week": ("Week", 168.0, 56),
    "month": ("30 days", 720.0, 60),
}
"""What can be looked at: words, hours, and into how many stretches of time."""

_AGO = {"hour": mark("1 hour ago"), "day": mark("24 hours ago"), "week": mark("7 days ago")}
_AGO |= {"month": mark("30 days ago")}
_SHOWN_LETTERS = 600
_MOST_LANGUAGES = 4

Value = float | None


def no_project() -> str:
    """What to do without a project."""
    return empty(tr("No project in hand"), tr("Choose or create one on the Projects tab."))


def figures_html(found: Monitor, window: str, newest: datetime | None) -> str:
    """The figures of a window; `newest`: when the newest request of the project came, None without any."""
    if newest is None:
        return _nothing()
    cards = [*_traffic_cards(found.overall, found.buckets), *_answer_cards(found.overall, found.buckets)]
    none = "" if found.overall.requests else " " + tr("None in this time: the newest came {when}.", when=moment(newest))
    start, end = moment(found.start), moment(found.end)
    between = tr("{start} to {end}, each step {step}.", start=start, end=end, step=_step(found))
    ago = tr(_AGO[window]) if window in _AGO else ""
    ends = f"<div class='mon-ends'><span>{ago}</span><span>{tr('now')}</span></div>"
    figures = "".join(card.replace("<!--ends-->", ends) for card in cards)
    return f"<p class='quiet mon-span'>{between}{none}</p><div class=\"mon-figures\">{figures}</div>"


def _nothing() -> str:
    return empty(
        tr("Nothing was served yet: start a server in Deploy"),
        tr(
            "From the first request on, this page shows how many there were, how fast the answers came and what people "
            "thought of them."
        ),
    )


def _traffic_cards(whole: Bucket, each: Sequence[Bucket]) -> list[str]:
    """How many requests there were, and how fast the answers came."""
    left = mark("{rejected:,} refused as wrong or too many · {left:,} left before the end")
    left = tr(left, rejected=whole.rejected, left=whole.left)
    answers = trn("of {count:,} answer", "of {count:,} answers", whole.answered)
    tokens = tr("{count:,} answer tokens", count=whole.answer_tokens)
    errors = trn(
        "{errors:,} of {count:,} request", "{errors:,} of {count:,} requests", whole.requests, errors=whole.errors
    )
    return [
        _counts(tr("Requests"), _count(whole.requests), left, small_bars([b.requests for b in each], None, "")),
        _lines(tr("Latency"), "ms", whole, each, lambda b: b.p50_ms, lambda b: b.p95_ms, answers),
        _lines(
            *(tr("First token"), "ms", whole, each, lambda b: b.first_p50_ms, lambda b: b.first_p95_ms),
            tr("of answers that were streamed"),
        ),
        _rate(tr("Tokens a second"), whole, each, lambda b: b.tokens_per_second, tokens),
        _share(tr("Errors"), whole, each, lambda b: b.error_rate, errors),
    ]


def _answer_cards(whole: Bucket, each: Sequence[Bucket]) -> list[str]:
    """What people thought of the answers, and what the studio finds in them."""
    thumbs = tr("{up:,} up · {down:,} down", up=whole.up, down=whole.down)
    refused = trn(
        "{refusals:,} of {count:,} answer with text kept",
        "{refusals:,} of {count:,} answers with text kept",
        whole.texts,
        refusals=whole.refusals,
    )
    failed = trn(
        "{failures:,} of {count:,} answer asked for a form",
        "{failures:,} of {count:,} answers asked for a form",
        whole.forms,
        failures=whole.form_failures,
    )
    up = small_bars([b.up for b in each], [b.down for b in each], "")
    return [
        _counts(tr("Thumbs up"), _per_cent(whole.up_share), thumbs, up),
        _share(tr("Refusals"), whole, each, lambda b: b.refusal_rate, refused),
        _share(tr("Answers out of form"), whole, each, lambda b: b.form_failure_rate, failed),
    ]


def _step(found: Monitor) -> str:
    minutes = found.seconds / 60
    if minutes < 1:
        return trn("{count:,} second", "{count:,} seconds", round(found.seconds))
    if minutes < 60:
        return trn("{count:,} minute", "{count:,} minutes", round(minutes))
    return trn("{count:,} hour", "{count:,} hours", round(minutes / 60))


def _card(name: str, value: str, quiet: str, plot: str, nothing: bool) -> str:
    """One figure; `value` is HTML, the rest text; `plot` is a plot without words."""
    said = text(tr("{figure} over time. {details}", figure=name, details=quiet))
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
    return _card(name, "–" if found is None else _tenths(found), quiet, plot, found is None)


def _share(name: str, whole: Bucket, each: Sequence[Bucket], value: Callable[[Bucket], Value], quiet: str) -> str:
    plot = small_lines([[value(b) for b in each]], 0.05, "", per_cent=True)
    return _card(name, _per_cent(value(whole)), quiet, plot, value(whole) is None)


def _ms(value: Value) -> str:
    return "–" if value is None else tr("{number:,.0f}", number=value)


def _count(number: int) -> str:
    return tr("{number:,}", number=number)


def _tenths(value: float) -> str:
    return tr("{number:,.1f}", number=value)


def _per_cent(share: Value) -> str:
    if share is None:
        return "–"
    return tr("{share:.1f} %", share=100 * share) if 0 < share < 0.1 else f"{100 * share:.0f} %"


def alerts_html(alerts: Sequence[Alert], limited: bool) -> str:
    """Alerts that are open, then past ones; `limited`: whether any limit is set."""
    opened = [one for one in alerts if one.ended_at is None]
    past = [one for one in alerts if one.ended_at is not None]
    now = "".join(notice_of(one) for one in opened) or f"<p class='quiet'>{_no_alert(limited)}</p>"
    if not past:
        return now
    rows = "".join(
        f"<tr><td>{text(_kind(one.kind))}</td><td class='num'>{amount(one.kind, one.value)}</td>"
        f"<td class='num'>{amount(one.kind, one.threshold)}</td><td>{moment(one.created_at)}</td>"
        f"<td>{moment(one.ended_at) if one.ended_at else ''}</td><td>{_sent(one)}</td></tr>"
        for one in past
    )
    names = (tr("Figure"), tr("Was"), tr("Limit"), tr("From"), tr("Until"), tr("Webhook"))
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    told = trn("{count:,} past alert", "{count:,} past alerts", len(past))
    return (
        f"{now}<details class='why' data-fold='past'><summary>{told}</summary>"
        f"<div class='table'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _no_alert(limited: bool) -> str:
    if not limited:
        return tr("No limit is set: set some below, and this page tells when a figure goes beyond its limit.")
    return tr(
        "No alert: over the last hour every figure that rests on {least} requests or more is within its limit.",
        least=LEAST,
    )


def notice_of(alert: Alert) -> str:
    """An alert that is open, as a sentence."""
    below = alert.kind == "drift" or (alert.kind in KINDS and KINDS[alert.kind].below)
    values = {
        "figure": f"<b>{text(_kind(alert.kind))}</b>",
        "value": amount(alert.kind, alert.value),
        "limit": amount(alert.kind, alert.threshold),
        "when": moment(alert.created_at),
    }
    fell = tr("{figure} fell to {value} (limit {limit}), open since {when}.", **values)
    rose = tr("{figure} rose to {value} (limit {limit}), open since {when}.", **values)
    sent = " " + tr("Webhook: {outcome}.", outcome=_sent(alert)) if alert.delivery else ""
    return f'<div class="notice bad" role="status"><p>{fell if below else rose}{sent}</p></div>'


def _sent(alert: Alert) -> str:
    return text(retold(alert.delivery or NOT_SENT, OUTCOMES))


def _kind(kind: str) -> str:
    return tr(KINDS[kind].words) if kind in KINDS else kind


def amount(kind: str, value: float) -> str:
    """A figure with its unit, as text."""
    if kind == "drift":
        return p_value(value)
    if kind not in KINDS or not KINDS[kind].share:
        return f"{_ms(value)} ms" if kind == "p95_ms" else tr("{number:,.4g}", number=value)
    return tr("{share:.3g} %", share=100 * value)


def p_value(p: object) -> str:
    """A p-value as people write it, as text in HTML."""
    if not isinstance(p, (int, float)):
        return tr("not told")
    return f"p&nbsp;{'&lt;' if p < 0.001 else '='}&nbsp;{tr('{number:.3f}', number=max(float(p), 0.001))}"


def drift_html(found: KeptDrift | None) -> str:
    """What the newest look at the prompts found."""
    if found is None:
        told = tr(
            "Nobody has looked yet. A look compares the prompts of the last seven days with those that the run in "
            "production was trained on: meaning, length and language."
        )
        return f"<p class='quiet'>{told}</p>"
    report = found.report
    head = notice("warn" if found.drifted else "good", retold(str(report.get("sentence", "")), LOOKS))
    told = tr(
        "{now} prompts of {window} against {before} that were trained on (snapshot {snapshot}), looked at {when}. All "
        "tests together: {p}; below {limit:.2g} is called drift.",
        **{"now": _whole(report, "now"), "window": _window(report), "before": _whole(report, "before")},
        **{"snapshot": text(str(report.get("snapshot", ""))[:8]), "when": moment(found.created_at)},
        **{"p": p_value(report.get("p")), "limit": ALPHA},
    )
    return f"{head}<p class='quiet'>{told}</p>{_tests(report)}{_topics(report)}"


def _tests(report: Mapping[str, object]) -> str:
    distance = report.get("distance")
    apart = "–"
    if isinstance(distance, (int, float)):
        apart = tr("{share:.1f} % apart", share=100 * distance)
    shares = report.get("languages")
    lengths = tr(
        "{before} → {now} characters (median)",
        **{"before": _whole(report, "length_before"), "now": _whole(report, "length_now")},
    )
    languages = _languages(shares) if isinstance(shares, dict) else tr("too short to tell")
    short = report.get("p_languages") is None
    p_languages = tr("texts too short to tell") if short else p_value(report.get("p_languages"))
    meaning = tr("{distance} (0 % is alike, 100 % has nothing in common)", distance=apart)
    rows = [
        (tr("Meaning"), meaning, p_value(report.get("p_meaning"))),
        (tr("Length"), lengths, p_value(report.get("p_length"))),
        (tr("Language"), languages, p_languages),
    ]
    body = "".join(f"<tr><td>{name}</td><td>{text(what)}</td><td>{p}</td></tr>" for name, what, p in rows)
    names = (tr("Compared"), tr("Trained on → served"), tr("By chance"))
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return f"<div class='table'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _languages(shares: Mapping[str, object]) -> str:
    known = [(name, pair) for name, pair in shares.items() if isinstance(pair, (list, tuple)) and len(pair) == 2]
    known.sort(key=lambda one: -max(one[1]))
    told = [f"{name} {100 * pair[0]:.0f} % → {100 * pair[1]:.0f} %" for name, pair in known[:_MOST_LANGUAGES]]
    return ", ".join(told) or tr("too short to tell")


def _topics(report: Mapping[str, object]) -> str:
    topics = report.get("topics")
    parts = []
    for number, topic in enumerate(topics if isinstance(topics, (list, tuple)) else (), 1):
        if isinstance(topic, Mapping):
            prompts = "".join(f"<li>{text(one)}</li>" for one in topic.get("prompts", ()))
            share, asked = topic.get("share", 0.0), len(topic.get("requests", ()))
            words = trn(
                "{share:.0f} % of the prompts, {count:,} request",
                "{share:.0f} % of the prompts, {count:,} requests",
                asked,
                share=100 * share,
            )
            name = tr("New topic {number}", number=number)
            parts.append(f"<li><b>{name}</b> {chip(words)}<ul>{prompts}</ul></li>")
    return f"<ul class='mon-topics'>{''.join(parts)}</ul>" if parts else ""


def _window(report: Mapping[str, object]) -> str:
    ends = report.get("window")
    try:
        start, end = (datetime.fromisoformat(str(one)) for one in ends)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return tr("the last days")
    return tr("{start} to {end}", start=moment(start), end=moment(end))


def _whole(report: Mapping[str, object], name: str) -> str:
    value = report.get(name)
    return _ms(value) if isinstance(value, (int, float)) else "–"


def candidates_html(found: Sequence[Candidate], taken: Mapping[str, int]) -> str:
    """The requests that could be labeled, by reason, each with a box; `taken`: how many became examples so far."""
    so_far = sum(taken.values())
    became = trn("{count:,} request became examples so far.", "{count:,} requests became examples so far.", so_far)
    told = f"<p class='quiet'>{became}</p>" if so_far else ""
    if not found:
        return _no_candidates() + told
    groups = "".join(_group(reason, [one for one in found if one.reason == reason]) for reason in REASONS)
    return (
        '<div class="mon-acts"><button type="button" class="mon-take" data-take disabled>'
        f"{tr('Put into the labeling queue')}</button><output>{tr('None chosen')}</output></div>{groups}{told}"
    )


def _no_candidates() -> str:
    return empty(
        tr("Nothing to label here"),
        tr(
            "Answers with a thumb down, prompts about new topics and answers that the model was unsure of are listed "
            "here. Only requests whose text is kept can be: that is a choice when a server is started in Deploy."
        ),
    )


def _group(reason: str, rows: Sequence[Candidate]) -> str:
    if not rows:
        return ""
    body = "".join(_row(one) for one in rows)
    shown = tr("all {count:,} shown", count=len(rows))
    return (
        f'<div data-reason="{text(reason)}"><label class="mon-all"><input type="checkbox" data-all> '
        f"<span><b>{text(tr(REASONS[reason]))}</b> · {shown}</span></label>"
        f'<div class="mon-rows" tabindex="0">{body}</div></div>'
    )


def _row(one: Candidate) -> str:
    asked = next((turn.content for turn in reversed(one.request.prompt) if turn.role == "user"), "")
    sure = one.request.confidence
    marks = chip(tr(REASONS[one.reason]), "bad" if one.reason == "low-rated" else "warn")
    if sure is not None:
        marks += chip(tr("confidence {share:.2f}", share=sure))
    return (
        f'<label class="mon-row"><input type="checkbox" data-row="{text(one.request.id)}">'
        f'<span class="who">{tr("Prompt")}</span><p>{text(_short(asked))}</p>'
        f'<span class="who">{tr("Answer")}</span><p>{text(_short(one.request.answer)) or "–"}</p>'
        f'<span class="marks">{marks} <small>{moment(one.request.at)}</small></span></label>'
    )


def _short(said: str) -> str:
    return said if len(said) <= _SHOWN_LETTERS else f"{said[:_SHOWN_LETTERS]} …"


def figures_table(found: Monitor) -> str:
    """The stretches of time with a request as a table, for reading exact figures."""
    rows = [
        (
            *(f"{b.start:%Y-%m-%d %H:%M}", _count(b.requests), _ms(b.p50_ms), _ms(b.p95_ms)),
            *("–" if b.tokens_per_second is None else _tenths(b.tokens_per_second), _per_cent(b.error_rate)),
            *(f"{_count(b.up)} / {_count(b.down)}", _per_cent(b.refusal_rate), _per_cent(b.form_failure_rate)),
        )
        for b in found.buckets
        if b.requests
    ]
    head = (
        *(tr("From (UTC)"), tr("Requests"), "p50 ms", "p95 ms", tr("Tokens/s"), tr("Errors")),
        *(tr("Up / down"), tr("Refusals"), tr("Out of form")),
    )
    return table(head, rows, numeric=range(1, 9)) if rows else ""
