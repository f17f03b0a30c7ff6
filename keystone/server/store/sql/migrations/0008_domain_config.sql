-- Settings of single domains, the secret ones in a table of their own. Values are JSON.

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
