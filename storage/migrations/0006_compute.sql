-- What waits for a device and what is at work on one, what that took, and what it may take.
-- Tables are rebuilt, never altered in place (see CONTRIBUTING).

CREATE SEQUENCE queue_places START 1;
CREATE SEQUENCE usage_numbers START 1;
CREATE SEQUENCE quota_numbers START 1;
CREATE SEQUENCE compute_numbers START 1;

-- One row a job: a run, a sweep or a learning curve that was asked for; a job that is resumed waits in its row again.
-- state changes only where it is what the writer believes it to be. place: order among those of like priority.
-- device: as the job asks for it; on_device: what it was given ('' before that). memory_bytes: planned peak, 0 where it
-- cannot be planned. attempts: starts since it began to wait; overtaken: later jobs that were started before it;
-- events_size: bytes of its events when it was started, so that one that never began can be told.
CREATE TABLE queued_jobs (
    job_id       VARCHAR PRIMARY KEY,
    kind         VARCHAR NOT NULL CHECK (kind IN ('run', 'sweep', 'curve')),
    project_id   VARCHAR NOT NULL,
    user_name    VARCHAR NOT NULL,
    state        VARCHAR NOT NULL CHECK (state IN ('waiting', 'running', 'pausing', 'paused', 'ended')),
    priority     INTEGER NOT NULL,
    place        BIGINT NOT NULL,
    device       VARCHAR NOT NULL,
    on_device    VARCHAR NOT NULL DEFAULT '',
    memory_bytes BIGINT NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    overtaken    INTEGER NOT NULL DEFAULT 0,
    events_size  BIGINT NOT NULL DEFAULT 0,
    reason       VARCHAR NOT NULL DEFAULT '',
    queued_at    TIMESTAMP NOT NULL,
    changed_at   TIMESTAMP NOT NULL
);

-- One row for each time a job was at work on a device. last_at: until when its time is counted. seconds: of the device,
-- shared evenly among those that were on it; joules: null where the device does not tell; energy_mark: the device's own
-- counter at last_at. tokens: of this time alone. price_hour: what an hour cost when it began.
CREATE TABLE device_usage (
    number      BIGINT NOT NULL DEFAULT nextval('usage_numbers'),
    job_id      VARCHAR NOT NULL,
    kind        VARCHAR NOT NULL,
    project_id  VARCHAR NOT NULL,
    user_name   VARCHAR NOT NULL,
    device      VARCHAR NOT NULL,
    started_at  TIMESTAMP NOT NULL,
    last_at     TIMESTAMP NOT NULL,
    ended_at    TIMESTAMP,
    seconds     DOUBLE NOT NULL DEFAULT 0,
    tokens      BIGINT NOT NULL DEFAULT 0,
    joules      DOUBLE,
    energy_mark DOUBLE,
    price_hour  DOUBLE NOT NULL
);

-- How many device-hours a user may take in thirty days; null: as many as they like. The newest row of a user stands.
CREATE TABLE device_quotas (
    number     BIGINT NOT NULL DEFAULT nextval('quota_numbers'),
    user_name  VARCHAR NOT NULL,
    hours      DOUBLE,
    set_by     VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Prices of a device-hour and slots of a device by its kind, as a JSON object; the newest row stands.
CREATE TABLE compute_settings (
    number     BIGINT NOT NULL DEFAULT nextval('compute_numbers'),
    settings   VARCHAR NOT NULL,
    user_name  VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);
