-- Settings of single domains, the secret ones in a table of their own, with values in JSON. Keys that encrypt credentials.

CREATE TABLE whitelisted_config (
    domain_id   TEXT NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    group_name  TEXT NOT NULL,
    option_name TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (domain_id, group_name, option_name)
);

CREATE TABLE sensitive_config (
    domain_id   TEXT NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    group_name  TEXT NOT NULL,
    option_name TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (domain_id, group_name, option_name)
);

-- Of the key that blob is encrypted by, '' for a blob in the clear.
ALTER TABLE credentials ADD COLUMN key_hash TEXT NOT NULL DEFAULT '';
