package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"authproxy/keystone"
)

// template is a text with places for attributes of the target: "x-%(user.domain_id)s". In a file "%%" is a per cent sign.
type template []part

// part is text, or where key is set the place of an attribute.
type part struct{ text, key string }

func parseTemplate(text string) (template, error) {
	var t template
	for text != "" {
		plain, rest, found := strings.Cut(text, "%")
		if plain != "" {
			t = append(t, part{text: plain})
		}
		if !found {
			break
		}
		if after, ok := strings.CutPrefix(rest, "%"); ok {
			t, text = append(t, part{text: "%"}), after
			continue
		}
		inside, opened := strings.CutPrefix(rest, "(")
		key, after, closed := strings.Cut(inside, ")")
		after, s := strings.CutPrefix(after, "s")
		if !opened || !closed || !s || key == "" {
			return nil, fmt.Errorf("%q: after %% only (name)s or another %% can stand", clip(text))
		}
		t, text = append(t, part{key: key}), after
	}
	return t, nil
}

// fill puts the target's attributes in their places. missing is the name of the first that the target lacks.
func (t template) fill(target Target) (text, missing string) {
	if len(t) == 1 && t[0].key == "" {
		return t[0].text, ""
	}
	var b strings.Builder
	for _, p := range t {
		if p.key == "" {
			b.WriteString(p.text)
			continue
		}
		value, ok := target[p.key]
		if !ok {
			return "", p.key
		}
		b.WriteString(value)
	}
	return b.String(), ""
}

func (t template) String() string {
	var b strings.Builder
	for _, p := range t {
		if p.key != "" {
			b.WriteString("%(" + p.key + ")s")
		} else {
			b.WriteString(strings.ReplaceAll(p.text, "%", "%%"))
		}
	}
	return b.String()
}

// operand is the left side of a match: a literal, or an attribute of the caller.
type operand struct {
	text    string // as in the file
	literal []string
	read    func(*Credentials) []string
}

// values are what the right side is compared with; none where the caller has no such attribute.
func (o operand) values(c *Credentials) []string {
	if o.read == nil {
		return o.literal
	}
	return o.read(c)
}

// parseOperand takes an attribute of the caller or one of Python's literals. Any other word is an error rather than a check
// that never holds: under "not" that would open a door.
func parseOperand(text string) (operand, error) {
	if read, ok := attributes[text]; ok {
		return operand{text: text, read: read}, nil
	}
	literal := func(value string) (operand, error) { return operand{text: text, literal: []string{value}}, nil }
	if n := len(text); n >= 2 && (text[0] == '\'' || text[0] == '"') && text[0] == text[n-1] {
		inside := text[1 : n-1]
		if strings.ContainsAny(inside, `'"\`) {
			return operand{}, fmt.Errorf("%s: a quoted text cannot hold quotes or backslashes", clip(text))
		}
		return literal(inside)
	}
	if text == "True" || text == "False" || text == "None" {
		return literal(text)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
		return literal(text)
	}
	return operand{}, fmt.Errorf("%q is no attribute of a token; there are %s, and literals like 'text', 1, True, False and None",
		clip(text), strings.Join(slices.Sorted(maps.Keys(attributes)), ", "))
}

// attributes are what a match can ask of the caller. Each gives no value where the token does not say; one of a list matches
// where one of its items does.
var attributes = map[string]func(*Credentials) []string{
	"user_id":        ofToken(func(t *keystone.Token) string { return t.User.ID }),
	"user_name":      ofToken(func(t *keystone.Token) string { return t.User.Name }),
	"user_domain_id": ofToken(func(t *keystone.Token) string { return t.User.Domain.ID }),
	// The scope: at most one of these is there.
	"project_id": ofProject(func(p *keystone.Project) string { return p.ID }),
	"domain_id":  ofDomain(func(d *keystone.Domain) string { return d.ID }),

	"project_domain_id": ofProject(func(p *keystone.Project) string { return p.Domain.ID }),
	"roles": func(c *Credentials) (names []string) {
		if c.Token != nil {
			for _, r := range c.Token.Roles {
				names = append(names, r.Name)
			}
		}
		return names
	},
	"group_ids": func(c *Credentials) []string { return c.GroupIDs },
	"is_admin": func(c *Credentials) []string {
		if c.Admin {
			return []string{"1", "True"}
		}
		return []string{"0", "False"}
	},

	"trust_id":   ofTrust(func(t *keystone.Trust) string { return t.ID }),
	"trustor_id": ofTrust(func(t *keystone.Trust) string { return t.TrustorUserID }),
	"trustee_id": ofTrust(func(t *keystone.Trust) string { return t.TrusteeUserID }),
	"is_delegated_auth": ofToken(func(t *keystone.Token) string {
		return python(t.Trust != nil || t.OAuth1 != nil)
	}),

	// The token as it is, for files that reach into it.
	"token.user.id":             ofToken(func(t *keystone.Token) string { return t.User.ID }),
	"token.user.name":           ofToken(func(t *keystone.Token) string { return t.User.Name }),
	"token.user.domain.id":      ofToken(func(t *keystone.Token) string { return t.User.Domain.ID }),
	"token.user.domain.name":    ofToken(func(t *keystone.Token) string { return t.User.Domain.Name }),
	"token.project.id":          ofProject(func(p *keystone.Project) string { return p.ID }),
	"token.project.name":        ofProject(func(p *keystone.Project) string { return p.Name }),
	"token.project.domain.id":   ofProject(func(p *keystone.Project) string { return p.Domain.ID }),
	"token.project.domain.name": ofProject(func(p *keystone.Project) string { return p.Domain.Name }),
	"token.domain.id":           ofDomain(func(d *keystone.Domain) string { return d.ID }),
	"token.domain.name":         ofDomain(func(d *keystone.Domain) string { return d.Name }),
	"token.is_admin_project": ofToken(func(t *keystone.Token) string {
		if t.IsAdminProject == nil {
			return ""
		}
		return python(*t.IsAdminProject)
	}),
}

// ofToken makes an attribute of what a token says, which is absent where that is "".
func ofToken(read func(*keystone.Token) string) func(*Credentials) []string {
	return func(c *Credentials) []string {
		if c.Token == nil {
			return nil
		}
		if v := read(c.Token); v != "" {
			return []string{v}
		}
		return nil
	}
}

func ofProject(read func(*keystone.Project) string) func(*Credentials) []string {
	return ofToken(func(t *keystone.Token) string {
		if t.Project == nil {
			return ""
		}
		return read(t.Project)
	})
}

func ofDomain(read func(*keystone.Domain) string) func(*Credentials) []string {
	return ofToken(func(t *keystone.Token) string {
		if t.Domain == nil {
			return ""
		}
		return read(t.Domain)
	})
}

func ofTrust(read func(*keystone.Trust) string) func(*Credentials) []string {
	return ofToken(func(t *keystone.Token) string {
		if t.Trust == nil {
			return ""
		}
		return read(t.Trust)
	})
}

// python is a boolean as Python prints it.
func python(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

// clip keeps messages readable when a value is long.
func clip(text string) string {
	const most = 80
	if len(text) > most {
		return text[:most-3] + "..."
	}
	return text
}
