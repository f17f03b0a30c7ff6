-- What the revocation list is at: one row. sequence grows by one with each transaction that revokes something, issued is when
-- the list was last changed or renewed (whole seconds; 0: never, so that the first reader renews it).
CREATE TABLE revocation_list (
    id       INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL,
    issued   BIGINT NOT NULL
);
INSERT INTO revocation_list (id, sequence, issued) VALUES (1, 1, 0);

-- The step of the sequence that a token was revoked in. What was revoked before there was a sequence is in step 1.
ALTER TABLE tokens ADD COLUMN revoked_seq BIGINT;
UPDATE tokens SET revoked_seq = 1 WHERE revoked_at IS NOT NULL;

-- It holds all that a list says, in the list's order: neither a list nor a delta reads the tokens themselves.
DROP INDEX tokens_revoked;
CREATE INDEX tokens_revoked_seq ON tokens (revoked_seq, id, audit_id, expires_at) WHERE revoked_seq IS NOT NULL;
