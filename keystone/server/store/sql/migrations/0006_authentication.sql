-- One endpoint of the API v2.0 is up to three here, one for each interface, which have the same legacy_id. '' for others.
ALTER TABLE endpoints ADD COLUMN legacy_id TEXT NOT NULL DEFAULT '';
CREATE INDEX endpoints_legacy ON endpoints (legacy_id) WHERE legacy_id <> '';

-- Logins that failed in a row, by whom they were about and from where: what slows down guessing of passwords. who is a user's id,
-- a hash of a name that no user has, or '' for all from an address; address is '' where it does not count.
CREATE TABLE login_failures (
    who      TEXT NOT NULL,
    address  TEXT NOT NULL,
    failures INTEGER NOT NULL,
    last_at  BIGINT NOT NULL,
    PRIMARY KEY (who, address)
);
CREATE INDEX login_failures_last ON login_failures (last_at);
