"""How the models stand by the votes, as HTML: a ranking with intervals as bars, win rates in sentences, voters."""

from __future__ import annotations

from studio.context import Studio
from studio.labeling.standings import Standings, standings
from studio.ui.components.html import chip, count, empty, notice, table, text

_HOW = (
    "Points as in chess: 400 more are odds of ten to one; the bar is the 95 % interval, the line the average of all. "
    "A tie, or both bad, counts half for each."
)


def standings_of(studio: Studio, project_id: str | None) -> str:
    """A project's standings, or how to get some."""
    if not project_id:
        return empty("No project chosen", "Choose one above, or create one.")
    return standings_html(standings(studio.db, project_id))


def standings_html(found: Standings) -> str:
    """Sentences first, then bars, then voters."""
    if not found.votes:
        return empty("No votes yet", "Ask with Blind on and vote, or make answers to vote on under Vote.")
    told = "".join(notice("good" if rate.enough else "", rate.sentence) for rate in found.against_base)
    blind = chip(f"{found.blind:,} blind") if found.blind else chip("none blind", "warn")
    head = f"<h3>Ranking</h3><p class='quiet'>{text(count(found.votes, 'vote'))} {blind}</p>"
    return f"<div class='standings'>{told}{head}{_ranking(found)}<h3>Voters</h3>{_voters(found)}</div>"


def _ranking(found: Standings) -> str:
    rows = found.ranking.strengths
    if not rows:
        plain = table(["Model", "Elo", "Votes"], [[m.name, f"{m.elo:.0f}", m.votes] for m in found.models], (1, 2))
        return notice("", found.ranking.reason) + plain
    low, high = min(min(row.low for row in rows), 1000.0), max(max(row.high for row in rows), 1000.0)
    wide = max(high - low, 1.0)

    def at(points: float) -> str:
        return f"{100 * (points - low) / wide:.2f}%"

    elo = {model.name: model.elo for model in found.models}
    bars = "".join(
        f'<div class="row" role="listitem"><b>{text(row.model)}</b><div class="track" aria-hidden="true">'
        f'<span class="zero" style="left:{at(1000.0)}"></span>'
        f'<span class="span" style="left:{at(row.low)};width:{100 * (row.high - row.low) / wide:.2f}%"></span>'
        f'<span class="dot" style="left:{at(row.points)}"></span></div>'
        f'<span class="num">{row.points:.0f} ({row.low:.0f}–{row.high:.0f}) · Elo {elo.get(row.model, 0):.0f}'
        "</span></div>"
        for row in rows
    )
    return f"<p class='quiet'>{_HOW}</p><div role='list' aria-label='Ranking of models'>{bars}</div>"


def _voters(found: Standings) -> str:
    head = ["Voter", "Votes", "Agrees with others", "Left chosen"]
    rows = [
        [
            voter.voter,
            voter.votes,
            f"{voter.agreed / voter.shared:.0%} ({voter.low:.0%}–{voter.high:.0%}) of {voter.shared}"
            if voter.shared
            else "nobody else voted on the same",
            f"{voter.left / voter.decided:.0%}" if voter.decided else "–",
        ]
        for voter in found.voters
    ]
    return table(head, rows, (1, 3))
