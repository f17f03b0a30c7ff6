package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"authproxy/keystone"
	"authproxy/keystone/server/app"
	"authproxy/keystone/server/policy"
	"authproxy/keystone/token"
)

func policyCheckFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "token-file", Usage: "take the caller from `FILE`, the JSON body of a token as GET /v3/auth/tokens answers it"},
		&cli.StringFlag{Name: "user", Usage: "or from these flags: `ID` of the user"},
		&cli.StringFlag{Name: "user-domain", Usage: "`ID` of the user's domain"},
		&cli.StringFlag{Name: "project", Usage: "`ID` of the project that the token is for"},
		&cli.StringFlag{Name: "project-domain", Usage: "`ID` of the project's domain"},
		&cli.StringFlag{Name: "domain", Usage: "`ID` of the domain that the token is for, in the place of a project"},
		&cli.StringSliceFlag{Name: "role", Usage: "`NAME` of a role of the token; may be repeated"},
		&cli.StringSliceFlag{Name: "target", Usage: "`NAME=VALUE` of an attribute of the target, like target.user.domain_id=default; may be repeated"},
	}
}

// errDenied makes the exit status of a denial that of an error, for scripts.
var errDenied = errors.New("denied")

// policyCheck says why a caller may or may not do an action, by the rules that keystone-all would go by.
func (t tool) policyCheck(c *cli.Context) error {
	if c.NArg() != 1 {
		return errors.New("name one action, like identity:list_users, after the flags")
	}
	action := c.Args().First()
	caller, err := callerOf(c)
	if err != nil {
		return err
	}
	target := policy.Target{}
	for _, pair := range c.StringSlice("target") {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return fmt.Errorf("--target %q is not NAME=VALUE", pair)
		}
		target[name] = value
	}
	s, err := t.settings(c)
	if err != nil {
		return err
	}
	rules := s.Build(nil, app.Options{}).Policy
	if err := rules.Load(); err != nil {
		return err
	}
	allowed, steps := rules.Rule(action).Explain(c.Context, caller, target)
	t.printSteps(steps)
	if !allowed {
		return fmt.Errorf("%s: %w", action, errDenied)
	}
	fmt.Fprintln(t.stdout, action+": allowed")
	return nil
}

// printSteps writes a line for each check, with its verdict first and what it compared last.
func (t tool) printSteps(steps []policy.Step) {
	lines, widest := make([]string, len(steps)), 0
	for i, step := range steps {
		lines[i] = strings.Repeat("  ", step.Depth) + printable(step.Check)
		widest = max(widest, utf8.RuneCountInString(lines[i]))
	}
	for i, step := range steps {
		fmt.Fprintln(t.stdout, strings.TrimRight(fmt.Sprintf("%-7s  %-*s  %s", step.Verdict, widest, lines[i], printable(step.Why)), " "))
	}
}

// printable takes out of a file's text what would move the terminal's cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}

// callerOf is who asks, by the flags.
func callerOf(c *cli.Context) (policy.Credentials, error) {
	flags := []string{"user", "user-domain", "project", "project-domain", "domain", "role"}
	path := c.String("token-file")
	given := slices.DeleteFunc(slices.Clone(flags), func(name string) bool { return !c.IsSet(name) })
	switch {
	case path == "" && c.String("user") == "":
		return policy.Credentials{}, errors.New("name a caller: --token-file FILE, or --user ID with --project or --domain and --role")
	case path != "" && len(given) > 0:
		return policy.Credentials{}, fmt.Errorf("--token-file says who the caller is; leave out --%s", given[0])
	case path != "":
		return fromBody(path)
	case c.String("project") != "" && c.String("domain") != "":
		return policy.Credentials{}, errors.New("a token is for a project or for a domain: leave out --project or --domain")
	case c.String("project") == "" && c.String("project-domain") != "":
		return policy.Credentials{}, errors.New("--project-domain needs --project")
	}
	made := &keystone.Token{User: keystone.User{ID: c.String("user"), Domain: keystone.Domain{ID: c.String("user-domain")}}}
	if id := c.String("project"); id != "" {
		made.Project = &keystone.Project{ID: id, Domain: keystone.Domain{ID: c.String("project-domain")}}
	}
	if id := c.String("domain"); id != "" {
		made.Domain = &keystone.Domain{ID: id}
	}
	for _, name := range c.StringSlice("role") {
		made.Roles = append(made.Roles, keystone.Role{Name: name})
	}
	return policy.Credentials{Token: made}, nil
}

const maxBody = 1 << 20 // bytes

// fromBody reads a token's body. What the file holds instead may be a token, so no error repeats it.
func fromBody(path string) (policy.Credentials, error) {
	text, err := readSmall(path)
	if err != nil {
		return policy.Credentials{}, err
	}
	decoded, err := token.DecodePayload(text)
	if err != nil {
		return policy.Credentials{}, fmt.Errorf(`%s is not the JSON body of a token, {"token": {…}}`, path)
	}
	var federated struct {
		Token struct {
			User struct {
				Federation struct{ Groups []struct{ ID string } } `json:"OS-FEDERATION"`
			}
		}
	}
	if err := json.Unmarshal(text, &federated); err != nil {
		return policy.Credentials{}, fmt.Errorf("%s: the token's user has no sound OS-FEDERATION groups", path)
	}
	caller := policy.Credentials{Token: decoded}
	for _, g := range federated.Token.User.Federation.Groups {
		caller.GroupIDs = append(caller.GroupIDs, g.ID)
	}
	return caller, nil
}
