-- Schema 4, with data. It is never changed.
-- What users registered. The password has a column of its own and is never part of the address.
CREATE TABLE links (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    slug       TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    url        TEXT    NOT NULL,
    username   TEXT,
    password   TEXT,
    transport  TEXT    NOT NULL DEFAULT 'auto',
    zone       TEXT    NOT NULL DEFAULT 'default',
    always_on  INTEGER NOT NULL DEFAULT 0,
    -- 0: stopped by an operator, viewers are refused.
    enabled    INTEGER NOT NULL DEFAULT 1,
    -- JSON objects of the settings that differ from the defaults of the configuration.
    mjpeg      TEXT    NOT NULL DEFAULT '{}',
    hls        TEXT    NOT NULL DEFAULT '{}',
    -- Grows when something changes that a running pipeline must be restarted for.
    spec_rev   INTEGER NOT NULL DEFAULT 1,
    -- RFC 3339, UTC.
    created    TEXT    NOT NULL
) STRICT;

-- The last placement of each stream. Outlives its link: an epoch is never used twice.
CREATE TABLE assignments (
    slug       TEXT    PRIMARY KEY,
    zone       TEXT    NOT NULL,
    -- Unix milliseconds, or one more than the last.
    epoch      INTEGER NOT NULL,
    -- 'run' or 'stop'.
    state      TEXT    NOT NULL,
    spec_rev   INTEGER NOT NULL,
    -- Discontinuity sequence number that its HLS playlist begins with.
    discontinuity INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
-- 1: the camera serves one session only, so a new owner waits until the old one has let it go.
ALTER TABLE links ADD COLUMN exclusive INTEGER NOT NULL DEFAULT 0;
-- 1: any certificate of the camera is taken, also one that it signed itself. Of rtsps addresses only.
ALTER TABLE links ADD COLUMN tls_insecure INTEGER NOT NULL DEFAULT 0;

INSERT INTO links (id, slug, name, url, created, mjpeg)
VALUES (1, 'yard-ab12', 'Yard', 'rtsp://10.0.0.1/h264', '2026-01-02T03:04:05Z', '{"max_fps":5}');
INSERT INTO links (id, slug, name, url, username, password, transport, zone, always_on, enabled, spec_rev, created)
VALUES (7, 'gate-cd34', 'Gate', 'rtsp://10.0.0.2:8554/s', 'admin', 'it''s; a -- secret', 'tcp', 'north', 1, 0, 4,
        '2026-01-02T03:04:06Z');
INSERT INTO assignments (slug, zone, epoch, state, spec_rev, discontinuity)
VALUES ('yard-ab12', 'default', 1790000000000, 'run', 1, 6), ('gate-cd34', 'north', 1790000000001, 'stop', 4, 0);
PRAGMA user_version = 4;
