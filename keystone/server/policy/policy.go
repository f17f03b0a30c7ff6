// Package policy decides who may do what.
//
// Rules holds the decisions of Keystone's default policy.json as Go functions. A policy engine that reads such files can stand
// in its place: it too takes an action, the caller and a target.
package policy

import (
	"strings"

	"authproxy/keystone"
	"authproxy/keystone/server/fault"
)

// Credentials are who makes a request.
type Credentials struct {
	// Admin is set for the admin_token of keystone.conf; there is no Token then, and everything is allowed.
	Admin bool
	Token *keystone.Token
}

// HasRole says whether the caller has a role, whatever the case of its letters.
func (c Credentials) HasRole(name string) bool {
	if c.Token == nil {
		return false
	}
	for _, r := range c.Token.Roles {
		if strings.EqualFold(r.Name, name) {
			return true
		}
	}
	return false
}

// UserID is the caller's, "" for the admin token.
func (c Credentials) UserID() string {
	if c.Token == nil {
		return ""
	}
	return c.Token.User.ID
}

// Target is the attributes of what is acted on, under the names that policy files use: "user_id", "target.token.user_id".
type Target map[string]string

// Check is one rule.
type Check func(c Credentials, t Target) bool

// Rules is a rule for each action ("identity:list_users"). An action without one is allowed to nobody but the admin token.
type Rules map[string]Check

// Enforce returns nil, or fault.Forbidden.
func (r Rules) Enforce(action string, c Credentials, t Target) error {
	if c.Admin {
		return nil
	}
	if check := r[action]; check != nil && check(c, t) {
		return nil
	}
	return fault.Forbidden{Action: action}
}

func admin(c Credentials, _ Target) bool { return c.HasRole("admin") }

func serviceOrAdmin(c Credentials, t Target) bool { return admin(c, t) || c.HasRole("service") }

func adminOrOwner(c Credentials, t Target) bool {
	return admin(c, t) || c.UserID() != "" && c.UserID() == t["user_id"]
}

func adminOrTokenSubject(c Credentials, t Target) bool {
	return admin(c, t) || c.UserID() != "" && c.UserID() == t["target.token.user_id"]
}

func anybody(Credentials, Target) bool { return true }

// Default is the rules that Keystone ships with, for the actions that the server knows.
func Default() Rules {
	rules := Rules{
		"identity:get_region":   anybody,
		"identity:list_regions": anybody,

		"identity:get_auth_catalog":  anybody,
		"identity:get_auth_projects": anybody,
		"identity:get_auth_domains":  anybody,

		"identity:list_revoke_events": anybody,

		"identity:change_password":    adminOrOwner,
		"identity:list_user_projects": adminOrOwner,

		"identity:validate_token":  serviceOrAdmin,
		"identity:check_token":     admin,
		"identity:revoke_token":    adminOrTokenSubject,
		"identity:revocation_list": serviceOrAdmin,
	}
	for _, action := range []string{
		"create_region", "update_region", "delete_region",
		"get_service", "list_services", "create_service", "update_service", "delete_service",
		"get_endpoint", "list_endpoints", "create_endpoint", "update_endpoint", "delete_endpoint",
		"get_domain", "list_domains", "create_domain", "update_domain", "delete_domain",
		"get_project", "list_projects", "create_project", "update_project", "delete_project",
		"get_user", "list_users", "create_user", "update_user", "delete_user",
		"get_role", "list_roles", "create_role", "update_role", "delete_role",
		"check_grant", "list_grants", "create_grant", "revoke_grant",
	} {
		rules["identity:"+action] = admin
	}
	return rules
}
