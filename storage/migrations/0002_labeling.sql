-- Labeling by several people: settings of a task, leases, reviews, gold, suggestions, vectors, users, the audit log.
-- Tables are rebuilt, never altered in place (see CONTRIBUTING).

CREATE SEQUENCE audit_numbers START 1;
CREATE SEQUENCE review_numbers START 1;

-- settings: a JSON object, storage.records.Settings.
CREATE TABLE projects_new (
    id            VARCHAR PRIMARY KEY,
    name          VARCHAR NOT NULL,
    task          VARCHAR NOT NULL,
    system_prompt VARCHAR NOT NULL,
    guidelines    VARCHAR NOT NULL,
    settings      VARCHAR NOT NULL,
    created_at    TIMESTAMP NOT NULL,
    archived_at   TIMESTAMP
);
INSERT INTO projects_new
    SELECT id, name, CASE task WHEN 'chat' THEN 'instruction' ELSE task END, system_prompt, guidelines, '{}',
           created_at, archived_at
    FROM projects;
DROP TABLE projects;
ALTER TABLE projects_new RENAME TO projects;

-- payload: what the form shows beside prompt and context (JSON; the two answers of a preference), or ''.
-- review: '' (none asked), 'pending', 'accepted' or 'returned'; returned_to: whose queue a returned example is in.
-- answers: standing submits and skips of different annotators, what the overlap counts.
-- uncertainty and diversity: null until scored; higher comes first.
CREATE TABLE examples_new (
    id            VARCHAR PRIMARY KEY,
    project_id    VARCHAR NOT NULL,
    position      BIGINT NOT NULL DEFAULT nextval('example_positions'),
    prompt        VARCHAR NOT NULL,
    context       VARCHAR NOT NULL,
    payload       VARCHAR NOT NULL DEFAULT '',
    content_key   VARCHAR NOT NULL,
    source        VARCHAR NOT NULL,
    status        VARCHAR NOT NULL CHECK (status IN ('todo', 'labeled', 'skipped', 'flagged')),
    annotation_id VARCHAR,
    answers       INTEGER NOT NULL DEFAULT 0,
    review        VARCHAR NOT NULL DEFAULT '' CHECK (review IN ('', 'pending', 'accepted', 'returned')),
    returned_to   VARCHAR,
    priority      DOUBLE NOT NULL DEFAULT 0,
    uncertainty   DOUBLE,
    diversity     DOUBLE,
    created_at    TIMESTAMP NOT NULL
);
INSERT INTO examples_new
    (id, project_id, position, prompt, context, content_key, source, status, annotation_id, answers, created_at)
    SELECT id, project_id, position, prompt, context, content_key, source, status, annotation_id,
           CASE WHEN status IN ('labeled', 'skipped') THEN 1 ELSE 0 END, created_at
    FROM examples ORDER BY position;
DROP TABLE examples;
ALTER TABLE examples_new RENAME TO examples;

-- value: the structured answer (JSON) where a task has more than text, else ''. base: the annotation this one began
-- from. suggestion_id: the suggestion that was on the screen.
CREATE TABLE annotations_new (
    id            VARCHAR PRIMARY KEY,
    number        BIGINT NOT NULL DEFAULT nextval('annotation_numbers'),
    example_id    VARCHAR NOT NULL,
    project_id    VARCHAR NOT NULL,
    annotator     VARCHAR NOT NULL,
    action        VARCHAR NOT NULL CHECK (action IN ('submit', 'skip', 'flag', 'undo')),
    response      VARCHAR NOT NULL,
    value         VARCHAR NOT NULL DEFAULT '',
    pair_key      VARCHAR NOT NULL,
    source        VARCHAR NOT NULL,
    undoes        VARCHAR,
    base          VARCHAR,
    suggestion_id VARCHAR,
    seconds       DOUBLE,
    created_at    TIMESTAMP NOT NULL
);
INSERT INTO annotations_new
    (id, number, example_id, project_id, annotator, action, response, pair_key, source, undoes, seconds, created_at)
    SELECT id, number, example_id, project_id, annotator, action, response, pair_key, source, undoes, seconds, created_at
    FROM annotations ORDER BY number;
DROP TABLE annotations;
ALTER TABLE annotations_new RENAME TO annotations;
-- Rows of this table are only ever appended, so an index on it is safe.
CREATE INDEX annotations_of_example ON annotations (example_id);

CREATE TABLE drafts_new (
    example_id VARCHAR NOT NULL,
    annotator  VARCHAR NOT NULL,
    response   VARCHAR NOT NULL,
    value      VARCHAR NOT NULL DEFAULT '',
    updated_at TIMESTAMP NOT NULL,
    PRIMARY KEY (example_id, annotator)
);
INSERT INTO drafts_new SELECT example_id, annotator, response, '', updated_at FROM drafts;
DROP TABLE drafts;
ALTER TABLE drafts_new RENAME TO drafts;

CREATE TABLE leases (
    example_id VARCHAR NOT NULL,
    annotator  VARCHAR NOT NULL,
    project_id VARCHAR NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    gold       BOOLEAN NOT NULL,
    PRIMARY KEY (example_id, annotator)
);

-- What a reviewer decided; appended. annotation_id: the answer it is about (and, for an accept, the one that stands).
-- An undo names the row it takes back; batch: what one bulk act decided together, else ''; before: the example's state
-- that the decision found (JSON, what an undo restores).
CREATE TABLE reviews (
    number        BIGINT NOT NULL DEFAULT nextval('review_numbers'),
    example_id    VARCHAR NOT NULL,
    project_id    VARCHAR NOT NULL,
    annotation_id VARCHAR NOT NULL,
    annotator     VARCHAR NOT NULL,
    reviewer      VARCHAR NOT NULL,
    decision      VARCHAR NOT NULL CHECK (decision IN ('accept', 'edit', 'return', 'undo')),
    comment       VARCHAR NOT NULL,
    undoes        BIGINT,
    batch         VARCHAR NOT NULL DEFAULT '',
    before        VARCHAR NOT NULL DEFAULT '',
    created_at    TIMESTAMP NOT NULL
);
CREATE INDEX reviews_of_example ON reviews (example_id);

-- Examples whose right answer is known, shown hidden among the others.
CREATE TABLE gold (
    example_id VARCHAR PRIMARY KEY,
    project_id VARCHAR NOT NULL,
    response   VARCHAR NOT NULL,
    value      VARCHAR NOT NULL,
    created_by VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- source: 'run:ID', 'starter', 'encoder' or 'endpoint'. outcome: null until an annotator acted on it, then 'accepted',
-- 'edited' or 'rejected'; distance: characters changed by the edit. uncertainty: mean token entropy in nats, or 1 - margin.
CREATE TABLE suggestions (
    id          VARCHAR PRIMARY KEY,
    example_id  VARCHAR NOT NULL,
    project_id  VARCHAR NOT NULL,
    source      VARCHAR NOT NULL,
    response    VARCHAR NOT NULL,
    value       VARCHAR NOT NULL,
    uncertainty DOUBLE,
    created_at  TIMESTAMP NOT NULL,
    outcome     VARCHAR,
    annotator   VARCHAR,
    distance    INTEGER,
    decided_at  TIMESTAMP
);
CREATE INDEX suggestions_of_example ON suggestions (example_id);

-- The starter encoder's vector of an example's text, of length 1. b0 to b5: the signs of its 384 numbers, by which the
-- nearest of a million are found without reading 1.5 GB (storage/embeddings.py writes both).
CREATE TABLE embeddings (
    example_id VARCHAR PRIMARY KEY,
    project_id VARCHAR NOT NULL,
    b0         UBIGINT NOT NULL,
    b1         UBIGINT NOT NULL,
    b2         UBIGINT NOT NULL,
    b3         UBIGINT NOT NULL,
    b4         UBIGINT NOT NULL,
    b5         UBIGINT NOT NULL,
    vector     FLOAT[384] NOT NULL
);

CREATE TABLE snapshot_examples (
    snapshot_id VARCHAR NOT NULL,
    project_id  VARCHAR NOT NULL,
    example_id  VARCHAR NOT NULL,
    split       VARCHAR NOT NULL
);

-- Names are stored in lower case. failures: log-ins that failed since the last good one; locked_until: none before that
-- time; seen_at: their last request, to a few minutes.
CREATE TABLE users (
    name          VARCHAR PRIMARY KEY,
    role          VARCHAR NOT NULL CHECK (role IN ('admin', 'reviewer', 'annotator')),
    password_hash VARCHAR NOT NULL,
    created_at    TIMESTAMP NOT NULL,
    removed_at    TIMESTAMP,
    failures      INTEGER NOT NULL DEFAULT 0,
    locked_until  TIMESTAMP,
    seen_at       TIMESTAMP
);

-- The cookie's value is never stored, only its SHA-256.
CREATE TABLE sessions (
    token_hash VARCHAR PRIMARY KEY,
    user_name  VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL
);

CREATE TABLE preferences (
    user_name VARCHAR PRIMARY KEY,
    settings  VARCHAR NOT NULL
);

CREATE TABLE audit (
    number     BIGINT NOT NULL DEFAULT nextval('audit_numbers'),
    at_time    TIMESTAMP NOT NULL,
    user_name  VARCHAR NOT NULL,
    action     VARCHAR NOT NULL,
    project_id VARCHAR NOT NULL,
    subject    VARCHAR NOT NULL,
    details    VARCHAR NOT NULL
);
