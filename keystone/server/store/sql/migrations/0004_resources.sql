-- Groups, the project hierarchy, inherited grants.

CREATE TABLE user_groups (
    id          TEXT NOT NULL PRIMARY KEY,
    domain_id   TEXT NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    extra       TEXT NOT NULL,
    UNIQUE (domain_id, name)
);
CREATE INDEX user_groups_name ON user_groups (name, id);

-- A user and a group of that user are in the same database.
CREATE TABLE memberships (
    group_id TEXT NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    user_id  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX memberships_user ON memberships (user_id, group_id);

-- NULL for a project that is below no other.
ALTER TABLE projects ADD COLUMN parent_id TEXT REFERENCES projects (id);
CREATE INDEX projects_parent ON projects (parent_id);

-- Grants of a role to a user or a group, on a project or a domain; of each pair one is ''. Users and groups are not always in
-- this database (LDAP), so user_id and group_id refer to no table. An inherited grant counts not there but on the projects
-- below: it stands beside one that does.
CREATE TABLE assignments (
    user_id    TEXT NOT NULL,
    group_id   TEXT NOT NULL,
    project_id TEXT NOT NULL,
    domain_id  TEXT NOT NULL,
    role_id    TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    inherited  INTEGER NOT NULL,
    PRIMARY KEY (user_id, group_id, project_id, domain_id, role_id, inherited),
    CHECK ((user_id = '') <> (group_id = '')),
    CHECK ((project_id = '') <> (domain_id = ''))
);
INSERT INTO assignments (user_id, group_id, project_id, domain_id, role_id, inherited)
    SELECT user_id, '', project_id, domain_id, role_id, 0 FROM grants;
DROP TABLE grants;
CREATE INDEX assignments_group ON assignments (group_id);
CREATE INDEX assignments_project ON assignments (project_id);
CREATE INDEX assignments_domain ON assignments (domain_id);
CREATE INDEX assignments_role ON assignments (role_id);

-- Lists with a limit are read in their order, not sorted.
CREATE INDEX users_name ON users (name, id);
CREATE INDEX projects_name ON projects (name, id);
