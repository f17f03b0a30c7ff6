-- Trusts, OAuth1, credentials, policies, endpoint filters and endpoint policies. Users are not always in this database, so
-- user ids refer to no table.

-- expires_at and remaining_uses are NULL where there is no limit, project_id for a trust that gives no roles.
CREATE TABLE trusts (
    id                   TEXT NOT NULL PRIMARY KEY,
    trustor_user_id      TEXT NOT NULL,
    trustee_user_id      TEXT NOT NULL,
    project_id           TEXT REFERENCES projects (id) ON DELETE CASCADE,
    impersonation        INTEGER NOT NULL,
    expires_at           BIGINT,
    remaining_uses       BIGINT CHECK (remaining_uses >= 0),
    redelegation_count   INTEGER NOT NULL,
    redelegated_trust_id TEXT REFERENCES trusts (id) ON DELETE CASCADE,
    extra                TEXT NOT NULL
);
CREATE INDEX trusts_trustor ON trusts (trustor_user_id);
CREATE INDEX trusts_trustee ON trusts (trustee_user_id);
CREATE INDEX trusts_project ON trusts (project_id);
CREATE INDEX trusts_redelegated ON trusts (redelegated_trust_id);

-- A role that is deleted stays here: a trust is not to go on with less than was agreed.
CREATE TABLE trust_roles (
    trust_id TEXT NOT NULL REFERENCES trusts (id) ON DELETE CASCADE,
    role_id  TEXT NOT NULL,
    PRIMARY KEY (trust_id, role_id)
);

-- How a token was delegated; NULL where it was not.
ALTER TABLE tokens ADD COLUMN trust_id TEXT;
ALTER TABLE tokens ADD COLUMN consumer_id TEXT;
ALTER TABLE tokens ADD COLUMN access_token_id TEXT;
CREATE INDEX tokens_trust ON tokens (trust_id) WHERE trust_id IS NOT NULL;
CREATE INDEX tokens_consumer ON tokens (consumer_id) WHERE consumer_id IS NOT NULL;
CREATE INDEX tokens_access_token ON tokens (access_token_id) WHERE access_token_id IS NOT NULL;

-- The users, beside its own, that a token stands on: its trustee, and the trustors in its chain of trusts.
CREATE TABLE token_parties (
    token_id  TEXT NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    user_id   TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    PRIMARY KEY (token_id, user_id)
);
CREATE INDEX token_parties_user ON token_parties (user_id);
CREATE INDEX token_parties_domain ON token_parties (domain_id);

ALTER TABLE revocation_events ADD COLUMN trust_id TEXT NOT NULL DEFAULT '';
ALTER TABLE revocation_events ADD COLUMN consumer_id TEXT NOT NULL DEFAULT '';
ALTER TABLE revocation_events ADD COLUMN access_token_id TEXT NOT NULL DEFAULT '';

CREATE TABLE credentials (
    id         TEXT NOT NULL PRIMARY KEY,
    user_id    TEXT NOT NULL,
    project_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
    type       TEXT NOT NULL,
    blob       TEXT NOT NULL,
    extra      TEXT NOT NULL
);
CREATE INDEX credentials_user ON credentials (user_id);
CREATE INDEX credentials_project ON credentials (project_id);

CREATE TABLE policies (
    id    TEXT NOT NULL PRIMARY KEY,
    type  TEXT NOT NULL,
    blob  TEXT NOT NULL,
    extra TEXT NOT NULL
);

-- A policy counts for an endpoint, for a service, or for a service in a region and those below it.
CREATE TABLE policy_associations (
    policy_id   TEXT NOT NULL REFERENCES policies (id) ON DELETE CASCADE,
    endpoint_id TEXT REFERENCES endpoints (id) ON DELETE CASCADE,
    service_id  TEXT REFERENCES services (id) ON DELETE CASCADE,
    region_id   TEXT REFERENCES regions (id) ON DELETE CASCADE,
    CHECK ((endpoint_id IS NULL) <> (service_id IS NULL)),
    CHECK (region_id IS NULL OR service_id IS NOT NULL)
);
CREATE UNIQUE INDEX policy_associations_endpoint ON policy_associations (endpoint_id) WHERE endpoint_id IS NOT NULL;
CREATE UNIQUE INDEX policy_associations_service ON policy_associations (service_id) WHERE service_id IS NOT NULL AND region_id IS NULL;
CREATE UNIQUE INDEX policy_associations_region ON policy_associations (service_id, region_id) WHERE region_id IS NOT NULL;
CREATE INDEX policy_associations_policy ON policy_associations (policy_id);

CREATE TABLE project_endpoints (
    project_id  TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    endpoint_id TEXT NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    PRIMARY KEY (project_id, endpoint_id)
);
CREATE INDEX project_endpoints_endpoint ON project_endpoints (endpoint_id);

-- filters is a JSON object.
CREATE TABLE endpoint_groups (
    id          TEXT NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL,
    description TEXT,
    filters     TEXT NOT NULL,
    extra       TEXT NOT NULL
);

CREATE TABLE project_endpoint_groups (
    project_id        TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    endpoint_group_id TEXT NOT NULL REFERENCES endpoint_groups (id) ON DELETE CASCADE,
    PRIMARY KEY (project_id, endpoint_group_id)
);
CREATE INDEX project_endpoint_groups_group ON project_endpoint_groups (endpoint_group_id);

CREATE TABLE oauth1_consumers (
    id          TEXT NOT NULL PRIMARY KEY,
    description TEXT,
    secret      TEXT NOT NULL,
    extra       TEXT NOT NULL
);

-- user_id and verifier are '' and role_ids is empty until a user has authorized it. role_ids is a JSON list.
CREATE TABLE oauth1_request_tokens (
    id          TEXT NOT NULL PRIMARY KEY,
    secret      TEXT NOT NULL,
    consumer_id TEXT NOT NULL REFERENCES oauth1_consumers (id) ON DELETE CASCADE,
    project_id  TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id     TEXT NOT NULL,
    verifier    TEXT NOT NULL,
    role_ids    TEXT NOT NULL,
    expires_at  BIGINT
);
CREATE INDEX oauth1_request_tokens_consumer ON oauth1_request_tokens (consumer_id);
CREATE INDEX oauth1_request_tokens_project ON oauth1_request_tokens (project_id);
CREATE INDEX oauth1_request_tokens_user ON oauth1_request_tokens (user_id);

CREATE TABLE oauth1_access_tokens (
    id          TEXT NOT NULL PRIMARY KEY,
    secret      TEXT NOT NULL,
    consumer_id TEXT NOT NULL REFERENCES oauth1_consumers (id) ON DELETE CASCADE,
    project_id  TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id     TEXT NOT NULL,
    role_ids    TEXT NOT NULL,
    expires_at  BIGINT
);
CREATE INDEX oauth1_access_tokens_consumer ON oauth1_access_tokens (consumer_id);
CREATE INDEX oauth1_access_tokens_project ON oauth1_access_tokens (project_id);
CREATE INDEX oauth1_access_tokens_user ON oauth1_access_tokens (user_id);

-- Signed requests that were accepted, so that none counts twice. said_at is the request's own time, in seconds.
CREATE TABLE oauth1_nonces (
    consumer_id TEXT NOT NULL REFERENCES oauth1_consumers (id) ON DELETE CASCADE,
    token       TEXT NOT NULL,
    nonce       TEXT NOT NULL,
    said_at     BIGINT NOT NULL,
    PRIMARY KEY (consumer_id, token, nonce, said_at)
);
CREATE INDEX oauth1_nonces_said_at ON oauth1_nonces (said_at);
