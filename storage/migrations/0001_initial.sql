-- No FOREIGN KEY, no ENUM, no index on a column that is updated: each of these bit us on DuckDB 2.0 (see CONTRIBUTING).
-- Times are UTC. Ids are made in Python.

CREATE SEQUENCE example_positions START 1;
CREATE SEQUENCE annotation_numbers START 1;

CREATE TABLE projects (
    id            VARCHAR PRIMARY KEY,
    name          VARCHAR NOT NULL,
    task          VARCHAR NOT NULL,
    system_prompt VARCHAR NOT NULL,
    guidelines    VARCHAR NOT NULL,
    created_at    TIMESTAMP NOT NULL,
    archived_at   TIMESTAMP
);

-- content_key: hash of prompt and context; status and annotation_id: what the newest standing annotation made of it.
CREATE TABLE examples (
    id            VARCHAR PRIMARY KEY,
    project_id    VARCHAR NOT NULL,
    position      BIGINT NOT NULL DEFAULT nextval('example_positions'),
    prompt        VARCHAR NOT NULL,
    context       VARCHAR NOT NULL,
    content_key   VARCHAR NOT NULL,
    source        VARCHAR NOT NULL,
    status        VARCHAR NOT NULL CHECK (status IN ('todo', 'labeled', 'skipped', 'flagged')),
    annotation_id VARCHAR,
    created_at    TIMESTAMP NOT NULL
);

-- Appended, never overwritten. An undo is a row of its own that names the row it takes back.
CREATE TABLE annotations (
    id         VARCHAR PRIMARY KEY,
    number     BIGINT NOT NULL DEFAULT nextval('annotation_numbers'),
    example_id VARCHAR NOT NULL,
    project_id VARCHAR NOT NULL,
    annotator  VARCHAR NOT NULL,
    action     VARCHAR NOT NULL CHECK (action IN ('submit', 'skip', 'flag', 'undo')),
    response   VARCHAR NOT NULL,
    pair_key   VARCHAR NOT NULL,
    source     VARCHAR NOT NULL,
    undoes     VARCHAR,
    seconds    DOUBLE,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE drafts (
    example_id VARCHAR NOT NULL,
    annotator  VARCHAR NOT NULL,
    response   VARCHAR NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    PRIMARY KEY (example_id, annotator)
);

CREATE TABLE snapshots (
    id              VARCHAR NOT NULL,
    project_id      VARCHAR NOT NULL,
    version         INTEGER NOT NULL,
    seed            BIGINT NOT NULL,
    train_rows      BIGINT NOT NULL,
    validation_rows BIGINT NOT NULL,
    test_rows       BIGINT NOT NULL,
    created_at      TIMESTAMP NOT NULL,
    PRIMARY KEY (id, project_id)
);

-- events_offset: byte in events.jsonl up to which this database has read; what follows it is taken up at the next look.
CREATE TABLE runs (
    id                VARCHAR PRIMARY KEY,
    project_id        VARCHAR NOT NULL,
    snapshot_id       VARCHAR NOT NULL,
    number            INTEGER NOT NULL,
    base_model        VARCHAR NOT NULL,
    spec              VARCHAR NOT NULL,
    state             VARCHAR NOT NULL,
    message           VARCHAR NOT NULL DEFAULT '',
    step              BIGINT NOT NULL DEFAULT 0,
    steps             BIGINT NOT NULL DEFAULT 0,
    tokens_per_second DOUBLE,
    eta_seconds       DOUBLE,
    memory_bytes      BIGINT,
    base_loss         DOUBLE,
    tuned_loss        DOUBLE,
    base_hash         VARCHAR,
    adapter_hash      VARCHAR,
    device            VARCHAR,
    events_offset     BIGINT NOT NULL DEFAULT 0,
    created_at        TIMESTAMP NOT NULL,
    ended_at          TIMESTAMP
);

CREATE TABLE run_events (
    run_id VARCHAR NOT NULL,
    seq    BIGINT NOT NULL,
    at_time TIMESTAMP NOT NULL,
    kind   VARCHAR NOT NULL,
    data   VARCHAR NOT NULL,
    PRIMARY KEY (run_id, seq)
);
