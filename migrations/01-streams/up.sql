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
