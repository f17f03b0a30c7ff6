-- Identity providers, their protocols, mappings, and service providers (OS-FEDERATION). Descriptions and prefixes may be NULL.

CREATE TABLE identity_providers (
    id          TEXT NOT NULL PRIMARY KEY,
    description TEXT,
    enabled     INTEGER NOT NULL
);

CREATE TABLE identity_provider_remote_ids (
    remote_id            TEXT NOT NULL PRIMARY KEY,
    identity_provider_id TEXT NOT NULL REFERENCES identity_providers (id) ON DELETE CASCADE,
    position             INTEGER NOT NULL
);
CREATE INDEX identity_provider_remote_ids_provider ON identity_provider_remote_ids (identity_provider_id);

-- A mapping may be deleted while protocols name it.
CREATE TABLE federation_protocols (
    identity_provider_id TEXT NOT NULL REFERENCES identity_providers (id) ON DELETE CASCADE,
    id                   TEXT NOT NULL,
    mapping_id           TEXT NOT NULL,
    PRIMARY KEY (identity_provider_id, id)
);

-- rules is a JSON list.
CREATE TABLE mappings (
    id    TEXT NOT NULL PRIMARY KEY,
    rules TEXT NOT NULL
);

CREATE TABLE service_providers (
    id                 TEXT NOT NULL PRIMARY KEY,
    auth_url           TEXT NOT NULL,
    sp_url             TEXT NOT NULL,
    description        TEXT,
    enabled            INTEGER NOT NULL,
    relay_state_prefix TEXT
);
