"""Compare's panes from data to HTML: what is told of an answer, what a blind one hides, and hostile answers as text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from studio.contract.chat import Message
from studio.jobs.comparison import Pane
from studio.jobs.engine import Answer, Sampling, Weights
from studio.jobs.lineup import Lineup, Party
from studio.labeling.standings import Model, Standings
from studio.ui import compare_views as compare
from studio.ui.compare_acts import votes_for, words_of
from studio.ui.compare_standings import standings_html
from studio.ui.compare_state import Shown, begun, gone_on, stopped
from studio.ui.components.markdown import rendered
from tests.ui.conftest import EVIL, read, tags

LINEUP = Lineup((Party("", "Base"), Party("run-1", "Run 1"), Party("run-2", "Run 2")), ("starter", "cpu", "auto"))


def answered(count: int = 2, blind: bool = True, text: str = "Hi") -> Shown:
    """A comparison in which all have answered; blind, the places are those of the parties turned round."""
    lineup = replace(LINEUP, parties=LINEUP.parties[:count])
    shown = begun("p", lineup, [Message("user", "Q?")], Sampling(), blind, None)
    names = [Weights("starter", "b" * 64, key or None, "a" * 64) for key in ("", "run-1", "run-2")]
    panes = [Pane(f"{text} {n}", Answer(f"{text} {n}", names[n], "stop", 7 + n, 1.5)) for n in range(count)]
    return replace(shown, panes=tuple(panes), order=tuple(reversed(range(count))))


def test_an_answer_is_text_and_names_its_weights() -> None:
    weights = Weights("starter<b>", "b" * 64, f"run-1{EVIL}", "a" * 64)
    html = compare.pane_html("Fine-tuned", Pane(EVIL, Answer(EVIL, weights, "length", 12, 1.5)), True)
    said = read(html)
    assert EVIL in said and "starter<b> bbbbbbbbbbbb + adapter run-1" in said and "aaaaaaaaaaaa" in said
    assert "12 tok · 1.5 s · 8 tok/s · cut at max tokens" in said
    assert "caret" not in html and "tuned" in str(tags(html, "div")[0]["class"])


def test_the_base_answers_without_an_adapter() -> None:
    answer = Answer("Hi", Weights("starter", "b" * 64, None, None), "stop", 1, 0.1)
    said = read(compare.pane_html("Base", Pane("Hi", answer), True))
    assert "adapter" not in said and "cut" not in said


def test_a_label_is_told_with_its_probability_and_a_whole_model_as_one() -> None:
    weights = Weights("starter-encoder", "b" * 64, "run-1", "a" * 64, whole=True)
    answer = Answer("refund", weights, "stop", 0, 0.1, probability=0.973)
    said = read(compare.pane_html("Fine-tuned", Pane("refund", answer), True))
    assert "refund" in said and "probability 97.3% · 0.1 s" in said and "tok" not in said
    assert "model of run-1 aaaaaaaaaaaa, fully trained from base starter-encoder" in said and "adapter" not in said
    none = compare.pane_html("Base", Pane(note=EVIL), True)
    assert EVIL in read(none) and "caret" not in none


def test_a_pane_says_where_it_stands() -> None:
    assert "appears here" in read(compare.pane_html("Base", Pane(), False))
    assert "Loading" in read(compare.pane_html("Base", Pane(), True, "Loading"))
    assert "Thinking" in read(compare.pane_html("Base", Pane(), True))
    growing = compare.pane_html("Base", Pane(EVIL), True)
    assert "caret" in growing and EVIL in read(growing)
    failed = compare.pane_html("Base", Pane("So far", error=EVIL), True)
    assert "So far" in read(failed) and EVIL in read(failed) and "caret" not in failed


def test_a_blind_comparison_tells_nothing_but_letters_and_texts() -> None:
    html = compare.panes_html(answered(3, text=EVIL))
    said = read(html)
    assert said.count(EVIL) == 3
    for secret in ("Run", "Base", "run-", "starter", "bbbb", "aaaa", " tok", "1.5", "tuned"):
        assert secret not in html.replace(EVIL, ""), secret
    writing = replace(answered(), panes=(answered().panes[0], Pane("so far")))
    assert "so far" not in compare.panes_html(writing) and "data-votable" not in compare.panes_html(writing)


def test_after_the_vote_names_and_weights_stand_there() -> None:
    voted = replace(answered(), voted="You preferred Run 1 to Base.", votes=1)
    said = read(compare.panes_html(voted))
    assert "You preferred Run 1 to Base." in said and "starter bbbbbbbbbbbb + adapter run-1" in said
    assert said.index("Run 1") < said.index("Base") and "8 tok · 1.5 s · 5 tok/s" in said


@pytest.mark.parametrize(
    ("choice", "count", "votes"),
    [
        ("best0", 2, [(0, 1, "left")]),
        ("best1", 2, [(0, 1, "right")]),
        ("tie", 2, [(0, 1, "tie")]),
        ("best1", 3, [(0, 1, "right"), (1, 2, "left")]),
        ("bad", 3, [(0, 1, "bad"), (0, 2, "bad"), (1, 2, "bad")]),
    ],
)
def test_the_best_wins_over_each_other_one(choice: str, count: int, votes: list[tuple[int, int, str]]) -> None:
    assert votes_for(choice, count) == votes


def test_a_vote_is_told_with_the_names_of_its_places() -> None:
    assert words_of(answered(3), "best0") == "You preferred Run 2 to Run 1 and Base."
    assert words_of(answered(2), "bad") == "You found Run 1 and Base bad, both of them."


def test_a_chat_goes_on_after_each_ones_own_answer_and_is_not_voted_on() -> None:
    on = gone_on(replace(answered(), voted="x", votes=1), "And now?")
    assert [chat[-2].content for chat in on.chats] == ["Hi 0", "Hi 1"] and on.chats[0][-1].content == "And now?"
    whole = replace(on, panes=answered().panes)
    assert not whole.votable and not whole.hidden and on.rounds == 2


def test_stopping_ends_what_is_not_done_and_shows_who_it_was() -> None:
    begun_one = replace(answered(), panes=(answered().panes[0], Pane("so far")))
    ended = stopped(begun_one)
    assert ended.panes[1] == Pane("so far", error="Stopped.") and not ended.hidden and not ended.votable
    assert "nothing to vote on" in compare.panes_html(ended)


def test_the_words_of_the_others_differ_from_the_chosen_one() -> None:
    html = compare.panes_html(replace(answered(blind=False), order=(0, 1), diff=0))
    assert "<del>0</del><ins>1</ins>" in html and html.count("worddiff") == 1


@pytest.mark.parametrize(
    "answer",
    [
        EVIL,
        f"# {EVIL}",
        "![a](https://evil.example/x.png) ![b](x)",
        "[c](javascript:alert(1)) [d](data:text/html,x) <javascript:alert(1)> [e](//evil.example)",
        '```"><img src=x onerror=alert(1)>\nx\n```',
        "[x]: javascript:alert(1)\n\n[x]",
    ],
)
def test_markdown_of_a_hostile_answer_can_do_nothing(answer: str) -> None:
    html = rendered(answer)
    for forbidden in ("<img", "<script", 'href="javascript', 'href="data', 'href="//', "onerror=alert(1)>", " src="):
        assert forbidden not in html.replace("&lt;img src", ""), html


def test_markdown_shows_headings_tables_code_and_links() -> None:
    html = rendered("# One\n\n|a|b|\n|-|-|\n|1|2|\n\n`x` [go](https://a.example/?q=1&r=2)")
    assert "<h4>One</h4>" in html and "<td>1</td>" in html and "<code>x</code>" in html
    assert 'rel="noopener noreferrer nofollow"' in html and 'href="https://a.example/?q=1&amp;r=2"' in html


def test_standings_are_told_and_drawn() -> None:
    from studio.evaluation.votes import Vote, strengths, voters, win_rate

    pairs = [("left", n % 3) for n in range(24)] + [("right", 0)] * 4
    votes = [Vote(EVIL, "Base", choice, EVIL, str(n)) for n, (choice, _) in enumerate(pairs)]  # type: ignore[arg-type]
    models = (Model("run-1", EVIL, 28, 1100.0), Model("", "Base", 28, 900.0))
    rates = (win_rate(votes, EVIL, "Base"),)
    html = standings_html(Standings(28, 28, models, strengths(votes), rates, voters(votes)))
    assert EVIL in read(html) and html.count('class="dot"') == 2 and "28 votes" in read(html)
    assert "No votes yet" in standings_html(Standings(0, 0, (), strengths([]), (), ()))
