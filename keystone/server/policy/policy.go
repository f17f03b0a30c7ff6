// Package policy decides who may do what, by rules written in the language of OpenStack's policy files.
//
// A file is a JSON object: the name of an action or of a rule that others refer to, and what has to hold for it.
//
//	"admin_required": "role:admin",
//	"identity:list_users": "rule:admin_required",
//	"identity:update_user": "rule:admin_required and domain_id:%(target.user.domain_id)s",
//	"identity:create_user": [["role:admin", "domain_id:%(user.domain_id)s"]]
//
// In a text, checks are joined by not, and, or (binding in this order) and parentheses; "" and "@" allow, "!" denies. In the
// older lists the inner ones are joined by and, the outer by or; [] allows. The checks are
//
//	role:NAME            the caller has the role, whatever the case of its letters
//	rule:NAME            the rule of that name, or the default rule where there is none
//	ATTRIBUTE:TEXT       the caller's attribute (see attributes) is TEXT, where %(name)s stands for an attribute of the target;
//	                     one that the target lacks makes the check fail
//	'LITERAL':TEXT       a text, number, True, False or None instead of an attribute
//	http://…, https://…  a server says True; off unless the operator allows it
//
// What cannot be decided (a rule that is not there, a server that does not answer) is neither true nor false: it denies unless
// another check decides alone, so that "not rule:mistyped" opens nothing.
package policy

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"authproxy/keystone"
	"authproxy/keystone/server/fault"
)

// Credentials are who makes a request.
type Credentials struct {
	// Admin is set for the admin_token of keystone.conf; there is no Token then, and everything is allowed.
	Admin bool
	Token *keystone.Token
	// GroupIDs are the groups that a federated user was mapped to.
	GroupIDs []string
}

// UserID is the caller's, "" for the admin token.
func (c Credentials) UserID() string {
	if c.Token == nil {
		return ""
	}
	return c.Token.User.ID
}

// Target is the attributes of what is acted on, under the names that policy files use: "user_id", "user.domain_id" (of the
// object in the request), "target.user.domain_id" (of the one that is stored). Values are as Python prints them: "True", "None".
type Target map[string]string

// Rules is the rules of one or several files, ready to be asked. It does not change.
type Rules struct {
	rules    map[string]*rule
	fallback *rule // for actions without a rule; nil denies
	remote   Remote
	warnings []string
}

// rule is one line of a file.
type rule struct {
	name  string
	file  string
	check check
	// keys are the attributes of the target that deciding may ask for, with those of all rules that it refers to.
	keys map[string]bool
	// remote is set where a server is asked, which gets the whole target.
	remote      bool
	cost, depth int
}

//go:embed policy.json
var defaultFile []byte

//go:embed later.json
var laterFile []byte

// Default is the rules that count where no file is configured: Keystone's own, for the actions that the server knows.
func Default() *Rules { return defaultRules(Options{}) }

func defaultRules(o Options) *Rules {
	rules, err := Compile(builtIn(o), Options{})
	if err != nil {
		panic(err) // the files are part of the program, and tested
	}
	return rules
}

func builtIn(o Options) []File {
	files := []File{{Name: "the built-in policy.json", Text: defaultFile}}
	if o.Later {
		files = append(files, File{Name: "the built-in later.json", Text: laterFile})
	}
	return files
}

// Warnings says what an operator should look at, though the rules are good.
func (r *Rules) Warnings() []string { return r.warnings }

// Len is the number of rules.
func (r *Rules) Len() int { return len(r.rules) }

// Rule is the one that decides about an action ("identity:list_users").
func (r *Rules) Rule(action string) Rule {
	found := r.rules[action]
	if found == nil {
		found = r.fallback
	}
	return Rule{action: action, rule: found, remote: r.remote}
}

// Rule decides about one action. The zero Rule denies it to all but the admin token.
type Rule struct {
	action string
	rule   *rule
	remote Remote
}

// Needs says whether the decision may depend on an attribute of the target whose name begins so.
func (r Rule) Needs(prefix string) bool {
	if r.rule == nil {
		return false
	}
	if r.rule.remote {
		return true
	}
	for key := range r.rule.keys {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// Check returns nil where the caller may do it, else an error that holds fault.Forbidden.
func (r Rule) Check(ctx context.Context, c Credentials, t Target) error {
	if c.Admin {
		return nil
	}
	forbidden := fault.Forbidden{Action: r.action}
	if r.rule == nil {
		return forbidden
	}
	e := evaluation{ctx: ctx, action: r.action, caller: c, target: t, remote: r.remote}
	if r.rule.check.eval(&e) == yes {
		return nil
	}
	if e.failed != nil {
		return fmt.Errorf("%w: %w", forbidden, errors.Join(e.failed...))
	}
	return forbidden
}
