-- Which tokens ended, in general terms (OS-REVOKE): those that fit all columns that are not '' and were issued before that
-- time. matters_until is when the last token expires that was there then.
CREATE TABLE revocation_events (
    id            TEXT NOT NULL PRIMARY KEY,
    audit_id      TEXT NOT NULL,
    user_id       TEXT NOT NULL,
    role_id       TEXT NOT NULL,
    project_id    TEXT NOT NULL,
    domain_id     TEXT NOT NULL,
    issued_before BIGINT NOT NULL,
    matters_until BIGINT NOT NULL
);
CREATE INDEX revocation_events_issued ON revocation_events (issued_before);
CREATE INDEX revocation_events_until ON revocation_events (matters_until);
