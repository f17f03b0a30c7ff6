package policy

import (
	"errors"
	"testing"

	"authproxy/keystone"
	"authproxy/keystone/server/fault"
)

// TestLaterNamesRules: what Later replaces is there, so that no mistyped name passes for a rule.
func TestLaterNamesRules(t *testing.T) {
	if plain, later := Default(), defaultRules(Options{Later: true}); later.Len() != plain.Len() || len(later.Warnings()) > 0 {
		t.Errorf("%d rules, with later.json %d, %q", plain.Len(), later.Len(), later.Warnings())
	}
}

func TestDefault(t *testing.T) {
	as := func(role, userID string) Credentials {
		token := &keystone.Token{User: keystone.User{ID: userID}}
		if role != "" {
			token.Roles = []keystone.Role{{Name: "other"}, {Name: role}}
		}
		return Credentials{Token: token}
	}
	rules := Default()
	for _, test := range []struct {
		action  string
		c       Credentials
		t       Target
		allowed bool
	}{
		{"identity:list_users", as("admin", "u"), nil, true},
		{"identity:list_users", as("ADMIN", "u"), nil, true},
		{"identity:list_users", as("administrator", "u"), nil, false},
		{"identity:list_users", as("service", "u"), nil, false},
		{"identity:list_users", as("", ""), nil, false},
		{"identity:list_users", Credentials{}, nil, false},
		{"identity:list_users", Credentials{Admin: true}, nil, true},
		{"identity:unheard_of", Credentials{Admin: true}, nil, true},
		{"identity:unheard_of", as("admin", "u"), nil, false},
		{"identity:validate_token", as("service", "u"), nil, true},
		{"identity:check_token", as("service", "u"), nil, false},
		{"identity:revocation_list", as("service", "u"), nil, true},
		{"identity:list_regions", as("", "u"), nil, true},
		{"identity:create_region", as("", "u"), nil, false},
		{"identity:change_password", as("", "u"), Target{"user_id": "u"}, true},
		{"identity:change_password", as("", "u"), Target{"user_id": "v"}, false},
		{"identity:change_password", as("", ""), Target{"user_id": ""}, false},
		{"identity:change_password", as("", ""), nil, false},
		{"identity:revoke_token", as("", "u"), Target{"target.token.user_id": "u"}, true},
		{"identity:revoke_token", as("", "u"), Target{"user_id": "u"}, false},
		{"identity:revoke_token", as("", ""), Target{}, false},
		{"identity:get_user", as("", "u"), Target{"user_id": "u"}, false},
	} {
		err := rules.Rule(test.action).Check(t.Context(), test.c, test.t)
		want := fault.Forbidden{Action: test.action}
		if got, ok := errors.AsType[fault.Forbidden](err); (err == nil) != test.allowed || !test.allowed && (!ok || got != want) {
			t.Errorf("%s by %+v of %v: %v", test.action, test.c.Token, test.t, err)
		}
	}
}
