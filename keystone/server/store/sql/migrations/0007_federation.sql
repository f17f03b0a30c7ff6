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

-- Whose word a token stands on; NULL where it is nobody else's.
ALTER TABLE tokens ADD COLUMN identity_provider_id TEXT;
ALTER TABLE tokens ADD COLUMN protocol_id TEXT;
CREATE INDEX tokens_identity_provider ON tokens (identity_provider_id, protocol_id) WHERE identity_provider_id IS NOT NULL;

-- The groups that a token stands on whose user is in no group here. domain_id is the one that the group belongs to.
CREATE TABLE token_groups (
    token_id  TEXT NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    group_id  TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    PRIMARY KEY (token_id, group_id)
);
CREATE INDEX token_groups_group ON token_groups (group_id);
CREATE INDEX token_groups_domain ON token_groups (domain_id);
