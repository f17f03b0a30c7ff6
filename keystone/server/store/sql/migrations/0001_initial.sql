-- Times are microseconds since 1970. Booleans are 0 and 1. extra is a JSON object.

CREATE TABLE domains (
    id      TEXT NOT NULL PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    enabled INTEGER NOT NULL,
    extra   TEXT NOT NULL
);

CREATE TABLE projects (
    id          TEXT NOT NULL PRIMARY KEY,
    domain_id   TEXT NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled     INTEGER NOT NULL,
    extra       TEXT NOT NULL,
    UNIQUE (domain_id, name)
);

CREATE TABLE users (
    id                 TEXT NOT NULL PRIMARY KEY,
    domain_id          TEXT NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    name               TEXT NOT NULL,
    enabled            INTEGER NOT NULL,
    default_project_id TEXT NOT NULL,
    password_hash      TEXT NOT NULL,
    extra              TEXT NOT NULL,
    UNIQUE (domain_id, name)
);

CREATE TABLE roles (
    id    TEXT NOT NULL PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE,
    extra TEXT NOT NULL
);

-- Users are not always in this database (LDAP), so user_id refers to no table. One of project_id and domain_id is ''.
CREATE TABLE grants (
    user_id    TEXT NOT NULL,
    project_id TEXT NOT NULL,
    domain_id  TEXT NOT NULL,
    role_id    TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, project_id, domain_id, role_id),
    CHECK ((project_id = '') <> (domain_id = ''))
);
CREATE INDEX grants_project ON grants (project_id);
CREATE INDEX grants_domain ON grants (domain_id);
CREATE INDEX grants_role ON grants (role_id);

CREATE TABLE regions (
    id          TEXT NOT NULL PRIMARY KEY,
    description TEXT NOT NULL,
    parent_id   TEXT REFERENCES regions (id) ON DELETE CASCADE,
    extra       TEXT NOT NULL
);
CREATE INDEX regions_parent ON regions (parent_id);

-- name repeats what extra holds, for the filter on it.
CREATE TABLE services (
    id      TEXT NOT NULL PRIMARY KEY,
    type    TEXT NOT NULL,
    name    TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    extra   TEXT NOT NULL
);

CREATE TABLE endpoints (
    id         TEXT NOT NULL PRIMARY KEY,
    service_id TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    region_id  TEXT REFERENCES regions (id),
    interface  TEXT NOT NULL,
    url        TEXT NOT NULL,
    enabled    INTEGER NOT NULL,
    extra      TEXT NOT NULL
);
CREATE INDEX endpoints_service ON endpoints (service_id);
CREATE INDEX endpoints_region ON endpoints (region_id);

CREATE TABLE tokens (
    id                TEXT NOT NULL PRIMARY KEY,
    form              TEXT NOT NULL,
    audit_id          TEXT NOT NULL,
    chain_id          TEXT NOT NULL,
    user_id           TEXT NOT NULL,
    user_domain_id    TEXT NOT NULL,
    project_id        TEXT NOT NULL,
    project_domain_id TEXT NOT NULL,
    domain_id         TEXT NOT NULL,
    issued_at         BIGINT NOT NULL,
    expires_at        BIGINT NOT NULL,
    revoked_at        BIGINT,
    body              TEXT NOT NULL
);
CREATE INDEX tokens_user ON tokens (user_id);
CREATE INDEX tokens_project ON tokens (project_id);
CREATE INDEX tokens_user_domain ON tokens (user_domain_id);
CREATE INDEX tokens_project_domain ON tokens (project_domain_id);
CREATE INDEX tokens_domain ON tokens (domain_id);
CREATE INDEX tokens_expires ON tokens (expires_at);
CREATE INDEX tokens_revoked ON tokens (expires_at) WHERE revoked_at IS NOT NULL;
