"""How friendly a text sounds: the balance of plainly good and plainly bad English words, from -1 to 1.

A list of our own, short and plain, for comparing groups of rows with each other; it is no measured lexicon and says
little about one single text. What it leaves out: negation, irony, and other languages.
"""

from __future__ import annotations

import re

_GOOD = frozenset({
    "able", "admire", "admirable", "amazing", "beautiful", "best", "better", "bright", "brave", "brilliant", "calm",
    "capable", "caring", "charming", "cheerful", "clean", "clever", "comfortable", "competent", "confident", "correct",
    "courageous", "creative", "delight", "delightful", "easy", "effective", "elegant", "enjoy", "enjoyed", "excellent",
    "excited", "fair", "faithful", "fantastic", "fine", "friendly", "fun", "generous", "gentle", "gifted", "glad",
    "good", "grateful", "great", "happy", "hardworking", "healthy", "helpful", "honest", "honor", "hope", "improve",
    "improved", "innocent", "inspiring", "intelligent", "joy", "kind", "leader", "love", "loved", "lovely", "loyal",
    "nice", "patient", "peace", "peaceful", "perfect", "pleasant", "pleased", "polite", "positive", "praise", "pretty",
    "proud", "reliable", "respect", "respected", "rich", "safe", "satisfied", "skilled", "smart", "smile", "strong",
    "succeed", "success", "successful", "talented", "thank", "thanks", "trust", "trusted", "useful", "valuable", "warm",
    "welcome", "well", "win", "wise", "won", "wonderful", "worthy",
})  # fmt: skip
_BAD = frozenset({
    "abuse", "abusive", "afraid", "aggressive", "anger", "angry", "annoying", "arrest", "arrested", "ashamed", "attack",
    "attacked", "awful", "bad", "blame", "boring", "broken", "cheat", "corrupt", "crime", "criminal", "criminals",
    "cruel", "damage", "danger", "dangerous", "dead", "death", "dirty", "disappointed", "disgusting", "dishonest",
    "dumb", "enemy", "evil", "fail", "failed", "failure", "fake", "fault", "fear", "fight", "fool", "foolish", "fraud",
    "greedy", "guilty", "hate", "hated", "hateful", "horrible", "hostile", "hurt", "idiot", "ignorant", "ill",
    "illegal", "incompetent", "inferior", "kill", "killed", "lazy", "liar", "lie", "lied", "lose", "loser", "lost",
    "mad", "mean", "miserable", "mistake", "murder", "nasty", "negative", "offensive", "pain", "pathetic", "poor",
    "problem", "refuse", "reject", "ridiculous", "rude", "sad", "scam", "scared", "selfish", "sick", "steal", "stole",
    "stupid", "suffer", "terrible", "terror", "terrorist", "terrorists", "threat", "thief", "ugly", "unable", "unfair",
    "unhappy", "unreliable", "upset", "useless", "victim", "violence", "violent", "weak", "weird", "worse", "worst",
    "worthless", "wrong",
})  # fmt: skip
_WORD = re.compile(r"[a-z]+")


def tone(text: str) -> float:
    """(good - bad) / (good + bad + 1) over the words of a text: 0 for none, towards 1 the friendlier, -1 the
    harsher."""
    words = _WORD.findall(text.lower())
    good = sum(word in _GOOD for word in words)
    bad = sum(word in _BAD for word in words)
    return (good - bad) / (good + bad + 1)
