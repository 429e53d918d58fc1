"""How the models stand by the votes, as HTML: a ranking with intervals as bars, win rates in sentences, voters."""

from __future__ import annotations

from studio.context import Studio
from studio.jobs.evaluation_said import retold, retold_model
from studio.labeling.standings import Standings, standings
from studio.language import tr, trn
from studio.ui.components.html import chip, empty, notice, table, text


def standings_of(studio: Studio, project_id: str | None) -> str:
    """A project's standings, or how to get some."""
    if not project_id:
        return empty(tr("No project chosen"), tr("Choose one above, or create one."))
    return standings_html(standings(studio.db, project_id))


def standings_html(found: Standings) -> str:
    """Sentences first, then bars, then voters."""
    if not found.votes:
        what = tr("Ask with Blind on and vote, or make answers to vote on under Vote.")
        return empty(tr("No votes yet"), what)
    told = "".join(notice("good" if rate.enough else "", retold(rate.sentence)) for rate in found.against_base)
    blind = chip(tr("{votes:,} blind", votes=found.blind)) if found.blind else chip(tr("none blind"), "warn")
    votes = trn("{count:,} vote", "{count:,} votes", found.votes)
    head = f"<h3>{text(tr('Ranking'))}</h3><p class='quiet'>{text(votes)} {blind}</p>"
    voters = f"<h3>{text(tr('Voters'))}</h3>{_voters(found)}"
    return f"<div class='standings'>{told}{head}{_ranking(found)}{voters}</div>"


def _ranking(found: Standings) -> str:
    rows = found.ranking.strengths
    if not rows:
        models = [[retold_model(one.name), f"{one.elo:.0f}", one.votes] for one in found.models]
        return notice("", retold(found.ranking.reason)) + table([tr("Model"), "Elo", tr("Votes")], models, (1, 2))
    low, high = min(min(row.low for row in rows), 1000.0), max(max(row.high for row in rows), 1000.0)
    wide = max(high - low, 1.0)

    def at(points: float) -> str:
        return f"{100 * (points - low) / wide:.2f}%"

    elo = {model.name: model.elo for model in found.models}
    bars = "".join(
        f'<div class="row" role="listitem"><b>{text(retold_model(row.model))}</b><div class="track" aria-hidden="true">'
        f'<span class="zero" style="left:{at(1000.0)}"></span>'
        f'<span class="span" style="left:{at(row.low)};width:{100 * (row.high - row.low) / wide:.2f}%"></span>'
        f'<span class="dot" style="left:{at(row.points)}"></span></div>'
        f'<span class="num">{row.points:.0f} ({row.low:.0f}–{row.high:.0f}) · Elo {elo.get(row.model, 0):.0f}'
        "</span></div>"
        for row in rows
    )
    how = tr(
        "Points as in chess: 400 more are odds of ten to one; the bar is the 95 % interval, the line the average of "
        "all. A tie, or both bad, counts half for each."
    )
    label = text(tr("Ranking of models"))
    return f"<p class='quiet'>{text(how)}</p><div role='list' aria-label='{label}'>{bars}</div>"


def _voters(found: Standings) -> str:
    head = [tr("Voter"), tr("Votes"), tr("Agrees with others"), tr("Left chosen")]
    rows = [
        [
            voter.voter,
            voter.votes,
            _agreement(voter.agreed, voter.shared, voter.low, voter.high),
            f"{voter.left / voter.decided:.0%}" if voter.decided else "–",
        ]
        for voter in found.voters
    ]
    return table(head, rows, (1, 3))


def _agreement(agreed: int, shared: int, low: float, high: float) -> str:
    if not shared:
        return tr("nobody else voted on the same")
    return tr("{share:.0%} ({low:.0%}–{high:.0%}) of {votes}", share=agreed / shared, low=low, high=high, votes=shared)
