-- Comparisons of models' answers, votes on them, and the examples that votes and corrections made.
-- Tables are rebuilt, never altered in place (see CONTRIBUTING).

CREATE SEQUENCE comparison_numbers START 1;
CREATE SEQUENCE vote_numbers START 1;

-- messages: what was asked, as turns of an example are stored; sides: a JSON list of storage.records.Side; sampling: a
-- JSON object. example_id: the example whose prompt it is, or null. prompt_keys: the content keys by which the project
-- would know this prompt, each beginning of a longer conversation included.
CREATE TABLE comparisons (
    id          VARCHAR PRIMARY KEY,
    number      BIGINT NOT NULL DEFAULT nextval('comparison_numbers'),
    project_id  VARCHAR NOT NULL,
    example_id  VARCHAR,
    messages    VARCHAR NOT NULL,
    sides       VARCHAR NOT NULL,
    sampling    VARCHAR NOT NULL,
    prompt_keys VARCHAR[] NOT NULL,
    created_by  VARCHAR NOT NULL,
    created_at  TIMESTAMP NOT NULL
);

-- Appended, never overwritten. left_side and right_side are places in the comparison's sides, from 0, as they stood on
-- the screen. An undo is a row of its own that names the vote it takes back. annotation_id: the answer that the vote is
-- in the example made of it, or null.
CREATE TABLE votes (
    id            VARCHAR PRIMARY KEY,
    number        BIGINT NOT NULL DEFAULT nextval('vote_numbers'),
    comparison_id VARCHAR NOT NULL,
    project_id    VARCHAR NOT NULL,
    user_name     VARCHAR NOT NULL,
    left_side     INTEGER NOT NULL,
    right_side    INTEGER NOT NULL,
    choice        VARCHAR NOT NULL CHECK (choice IN ('left', 'right', 'tie', 'bad', 'undo')),
    blind         BOOLEAN NOT NULL,
    undoes        VARCHAR,
    annotation_id VARCHAR,
    created_at    TIMESTAMP NOT NULL
);

-- Which example was made of which comparison. kind 'vote': of all votes between two sides, low_side < high_side; kind
-- 'fix': of one person's correction of side low_side (high_side is the same). withdrawn: its votes were taken back
-- before anybody worked on it, and it is dropped.
CREATE TABLE comparison_examples (
    example_id    VARCHAR PRIMARY KEY,
    project_id    VARCHAR NOT NULL,
    comparison_id VARCHAR NOT NULL,
    kind          VARCHAR NOT NULL CHECK (kind IN ('vote', 'fix')),
    low_side      INTEGER NOT NULL,
    high_side     INTEGER NOT NULL,
    user_name     VARCHAR NOT NULL,
    withdrawn     BOOLEAN NOT NULL DEFAULT false,
    created_at    TIMESTAMP NOT NULL
);

-- Where the votes of a project become preferences: a project of its own, whose task is preference.
CREATE TABLE vote_projects (
    project_id    VARCHAR PRIMARY KEY,
    preference_id VARCHAR NOT NULL,
    created_at    TIMESTAMP NOT NULL
);
