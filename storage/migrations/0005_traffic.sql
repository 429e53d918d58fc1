-- Served requests and feedback on them, what was in production when, what is watched, and retraining by rules.
-- Tables are rebuilt, never altered in place (see CONTRIBUTING).

CREATE SEQUENCE feedback_numbers START 1;
CREATE SEQUENCE deployment_numbers START 1;
CREATE SEQUENCE watch_numbers START 1;
CREATE SEQUENCE alert_numbers START 1;
CREATE SEQUENCE drift_numbers START 1;
CREATE SEQUENCE rule_numbers START 1;
CREATE SEQUENCE retraining_numbers START 1;

-- Appended only, so its index is safe. project_id: '' where none can be told (the base model of several projects'
-- runs). refused: null where no text was kept; form_ok: null where no form was asked for. Times in milliseconds.
CREATE TABLE requests (
    id            VARCHAR PRIMARY KEY,
    at_time       TIMESTAMP NOT NULL,
    project_id    VARCHAR NOT NULL,
    model         VARCHAR NOT NULL,
    run_id        VARCHAR NOT NULL,
    key_id        VARCHAR NOT NULL,
    route         VARCHAR NOT NULL,
    status        INTEGER NOT NULL,
    finish        VARCHAR NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    answer_tokens BIGINT NOT NULL,
    queued_ms     DOUBLE NOT NULL,
    first_ms      DOUBLE,
    total_ms      DOUBLE NOT NULL,
    confidence    DOUBLE,
    form_ok       BOOLEAN,
    refused       BOOLEAN
);

-- Prompt and answer of a request, only where keeping texts was asked for: apart, so that counting reads none of them
-- and they can be deleted while the counts stay. messages: turns as an example's are stored, the answer last.
CREATE TABLE request_texts (
    request_id VARCHAR NOT NULL,
    project_id VARCHAR NOT NULL,
    at_time    TIMESTAMP NOT NULL,
    messages   VARCHAR NOT NULL
);

-- Of several ratings of one request the newest counts. It is kept whether or not its request is there (yet), and
-- counts for nothing as long as that is not.
CREATE TABLE feedback (
    number     BIGINT NOT NULL DEFAULT nextval('feedback_numbers'),
    request_id VARCHAR NOT NULL,
    at_time    TIMESTAMP NOT NULL,
    rating     INTEGER NOT NULL CHECK (rating IN (-1, 0, 1)),
    text       VARCHAR NOT NULL,
    key_id     VARCHAR NOT NULL
);

-- How many bytes of each server's traffic file have been read.
CREATE TABLE traffic_files (
    name        VARCHAR PRIMARY KEY,
    read_offset BIGINT NOT NULL
);

-- Which requests became which example; a request is taken once. reason: low-rated, drifting or unsure.
CREATE TABLE request_examples (
    request_id VARCHAR PRIMARY KEY,
    example_id VARCHAR NOT NULL,
    project_id VARCHAR NOT NULL,
    reason     VARCHAR NOT NULL,
    user_name  VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- What was in production when, by whom and why; appended, the newest row of a project stands. kind: promote or rollback.
CREATE TABLE deployments (
    id         VARCHAR PRIMARY KEY,
    number     BIGINT NOT NULL DEFAULT nextval('deployment_numbers'),
    project_id VARCHAR NOT NULL,
    run_id     VARCHAR NOT NULL,
    kind       VARCHAR NOT NULL CHECK (kind IN ('promote', 'rollback')),
    user_name  VARCHAR NOT NULL,
    why        VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- What is watched of a project: thresholds (a JSON object) and where alerts are sent ('': nowhere). The newest stands.
CREATE TABLE watches (
    number     BIGINT NOT NULL DEFAULT nextval('watch_numbers'),
    project_id VARCHAR NOT NULL,
    thresholds VARCHAR NOT NULL,
    webhook    VARCHAR NOT NULL,
    user_name  VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- ended_at: null while the figure is beyond its limit. delivery: what became of the message to the webhook.
CREATE TABLE alerts (
    number     BIGINT NOT NULL DEFAULT nextval('alert_numbers'),
    project_id VARCHAR NOT NULL,
    kind       VARCHAR NOT NULL,
    value      DOUBLE NOT NULL,
    threshold  DOUBLE NOT NULL,
    created_at TIMESTAMP NOT NULL,
    ended_at   TIMESTAMP,
    delivery   VARCHAR NOT NULL DEFAULT ''
);

-- What a look at the prompts found, held against a snapshot's. report: a JSON object, studio.deploy.drift.DriftReport.
CREATE TABLE drift_reports (
    number      BIGINT NOT NULL DEFAULT nextval('drift_numbers'),
    project_id  VARCHAR NOT NULL,
    snapshot_id VARCHAR NOT NULL,
    drifted     BOOLEAN NOT NULL,
    report      VARCHAR NOT NULL,
    created_at  TIMESTAMP NOT NULL
);

-- When a project is retrained; null or false: that rule is off. Appended, the newest row of a project stands.
CREATE TABLE retraining_rules (
    number         BIGINT NOT NULL DEFAULT nextval('rule_numbers'),
    project_id     VARCHAR NOT NULL,
    every_examples INTEGER,
    every_days     DOUBLE,
    on_drift       BOOLEAN NOT NULL,
    feedback_below DOUBLE,
    user_name      VARCHAR NOT NULL,
    created_at     TIMESTAMP NOT NULL
);

-- One retraining from the rules that fired (a JSON list) to its end. accepted: pairs that the project had then.
-- step: where it is; step_at: since when; run_id, snapshot_id: '' until there are. base_model, settings: of the run.
CREATE TABLE retrainings (
    id          VARCHAR PRIMARY KEY,
    number      BIGINT NOT NULL DEFAULT nextval('retraining_numbers'),
    project_id  VARCHAR NOT NULL,
    reasons     VARCHAR NOT NULL,
    accepted    BIGINT NOT NULL,
    user_name   VARCHAR NOT NULL,
    base_model  VARCHAR NOT NULL,
    settings    VARCHAR NOT NULL,
    champion_id VARCHAR NOT NULL,
    step        VARCHAR NOT NULL,
    step_at     TIMESTAMP NOT NULL,
    snapshot_id VARCHAR NOT NULL DEFAULT '',
    run_id      VARCHAR NOT NULL DEFAULT '',
    message     VARCHAR NOT NULL DEFAULT '',
    created_at  TIMESTAMP NOT NULL,
    ended_at    TIMESTAMP
);
