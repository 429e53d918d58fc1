-- Data in and out: examples that were dropped, groups that stay in one split, what a held-out set has had, lineage of
-- snapshots, versions of the guidelines, and repairs that a preflight offers, each with what it found before.
-- Tables are rebuilt, never altered in place (see CONTRIBUTING).

CREATE SEQUENCE repair_numbers START 1;

-- status 'dropped': left out of every later snapshot and of the queue until the repair that dropped it is undone.
-- payload may hold 'tools' besides. group_name: examples with one name (a customer, a document) stay in one split; ''.
CREATE TABLE examples_new (
    id            VARCHAR PRIMARY KEY,
    project_id    VARCHAR NOT NULL,
    position      BIGINT NOT NULL DEFAULT nextval('example_positions'),
    prompt        VARCHAR NOT NULL,
    context       VARCHAR NOT NULL,
    payload       VARCHAR NOT NULL DEFAULT '',
    content_key   VARCHAR NOT NULL,
    group_name    VARCHAR NOT NULL DEFAULT '',
    source        VARCHAR NOT NULL,
    status        VARCHAR NOT NULL CHECK (status IN ('todo', 'labeled', 'skipped', 'flagged', 'dropped')),
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
    (id, project_id, position, prompt, context, payload, content_key, source, status, annotation_id, answers, review,
     returned_to, priority, uncertainty, diversity, created_at)
    SELECT id, project_id, position, prompt, context, payload, content_key, source, status, annotation_id, answers,
           review, returned_to, priority, uncertainty, diversity, created_at
    FROM examples ORDER BY position;
DROP TABLE examples;
ALTER TABLE examples_new RENAME TO examples;

-- Which annotation of which example a snapshot holds; annotation_id '' where the snapshot is older than this column.
CREATE TABLE snapshot_examples_new (
    snapshot_id   VARCHAR NOT NULL,
    project_id    VARCHAR NOT NULL,
    example_id    VARCHAR NOT NULL,
    annotation_id VARCHAR NOT NULL DEFAULT '',
    split         VARCHAR NOT NULL
);
INSERT INTO snapshot_examples_new (snapshot_id, project_id, example_id, split)
    SELECT snapshot_id, project_id, example_id, split FROM snapshot_examples;
DROP TABLE snapshot_examples;
ALTER TABLE snapshot_examples_new RENAME TO snapshot_examples;

-- What was once in a test split stays in it: by the example, and by what it asked then, should its text be mended.
CREATE TABLE held_out (
    project_id  VARCHAR NOT NULL,
    example_id  VARCHAR NOT NULL,
    content_key VARCHAR NOT NULL,
    snapshot_id VARCHAR NOT NULL
);
INSERT INTO held_out
    SELECT DISTINCT ON (m.project_id, m.example_id) m.project_id, m.example_id, e.content_key, m.snapshot_id
    FROM snapshot_examples m
    JOIN examples e ON e.id = m.example_id
    JOIN snapshots s ON s.id = m.snapshot_id AND s.project_id = m.project_id
    WHERE m.split = 'test' ORDER BY s.version;

-- Every text that a project's guidelines have had; an answer was given by the newest version of before it.
CREATE TABLE guidelines (
    project_id VARCHAR NOT NULL,
    version    INTEGER NOT NULL,
    text       VARCHAR NOT NULL,
    user_name  VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);
INSERT INTO guidelines SELECT id, 1, guidelines, '', created_at FROM projects;

-- One doing of a preflight; appended. kind: drop, redact, edit, back, augment. undone_at: null while it stands.
CREATE TABLE repairs (
    number     BIGINT NOT NULL DEFAULT nextval('repair_numbers'),
    project_id VARCHAR NOT NULL,
    user_name  VARCHAR NOT NULL,
    kind       VARCHAR NOT NULL,
    reason     VARCHAR NOT NULL,
    rows       BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    undone_at  TIMESTAMP,
    undone_by  VARCHAR
);

-- What a repair found of each example and what it made of it, as JSON: what an undo restores, and how it knows that
-- nobody has changed the example since. before is '' of an example that the repair made.
CREATE TABLE repair_rows (
    repair     BIGINT NOT NULL,
    example_id VARCHAR NOT NULL,
    before     VARCHAR NOT NULL,
    after      VARCHAR NOT NULL
);
