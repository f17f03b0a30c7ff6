package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds on what is read and on what one question may cost, with all rules that the rule refers to.
const (
	maxFile   = 1 << 20 // bytes
	maxChecks = 10_000
	maxDepth  = 200
)

// File is the text of one policy file.
type File struct {
	Name string
	Text []byte
}

// Options are what the meaning of a file depends on.
type Options struct {
	// DefaultRule is the name of the rule for actions and references without one (policy_default_rule); "default" where "".
	DefaultRule string
	// Remote says which servers may be asked; its zero value says none.
	Remote Remote
	// Later lets everybody read themselves, as releases after Kilo do: their user, their domain, their token. It changes the
	// built-in rules alone.
	Later bool
}

// Compile reads files; where several have a rule, the last one counts. The error names each file and rule that is wrong.
func Compile(files []File, o Options) (*Rules, error) {
	if o.DefaultRule == "" {
		o.DefaultRule = "default"
	}
	r := &Rules{rules: map[string]*rule{}, remote: o.Remote}
	var errs []error
	for _, f := range files {
		lines, err := readLines(f)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, l := range lines {
			c, err := l.parse(o.Remote)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: rule %q: %w", f.Name, clip(l.name), err))
				continue
			}
			r.rules[l.name] = &rule{name: l.name, file: f.Name, check: c}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	r.fallback = r.rules[o.DefaultRule]
	if err := r.link(); err != nil {
		return nil, err
	}
	return r, nil
}

// line is one member of a file.
type line struct {
	name  string
	value any
}

// readLines reads a file without looking into its rules. A name that is there twice is refused: who reads the file would see
// the first, and who enforces it the last.
func readLines(f File) (lines []line, err error) {
	fail := func(format string, args ...any) ([]line, error) {
		return nil, fmt.Errorf("%s: "+format, append([]any{f.Name}, args...)...)
	}
	switch {
	case len(f.Text) > maxFile:
		return fail("is longer than %d bytes", maxFile)
	case !utf8.Valid(f.Text):
		return fail("is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(f.Text))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return fail("is not a JSON object of rules%s", because(err))
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fail("is not JSON%s", because(err))
		}
		l := line{name: key.(string)} // the decoder lets nothing else stand there
		if seen[l.name] {
			return fail("rule %q is there twice", clip(l.name))
		}
		seen[l.name] = true
		if err := d.Decode(&l.value); err != nil {
			return fail("rule %q is not JSON%s", clip(l.name), because(err))
		}
		lines = append(lines, l)
	}
	if _, err := d.Token(); err != nil {
		return fail("is not JSON%s", because(err))
	}
	if _, err := d.Token(); err != io.EOF {
		return fail("goes on after the object of rules")
	}
	return lines, nil
}

func because(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return ": " + err.Error()
}

func (l line) parse(remote Remote) (check, error) {
	switch v := l.value.(type) {
	case string:
		return parseText(v, remote)
	case []any:
		return parseList(v, remote)
	}
	return nil, errors.New("is neither a text nor a list; write \"!\" to deny")
}

// link ties references to rules and refuses what would not come to an end.
func (r *Rules) link() error {
	var errs []error
	state := map[*rule]int{} // 1 while its references are followed, 2 when done
	var path []string
	var visit func(*rule) error
	visit = func(u *rule) error {
		switch state[u] {
		case 1:
			from := slices.Index(path, u.name)
			return fmt.Errorf("%s: rule %q refers to itself: %s", u.file, clip(u.name), clip(strings.Join(append(path[from:], u.name), " → ")))
		case 2:
			return nil
		}
		state[u] = 1
		path = append(path, u.name)
		defer func() { path = path[:len(path)-1]; state[u] = 2 }()
		u.keys = map[string]bool{}
		if err := r.measure(u, u.check, 1, visit); err != nil {
			return err
		}
		if u.cost > maxChecks || u.depth > maxDepth {
			return fmt.Errorf("%s: rule %q needs more than %d checks, or more than %d within each other, with all that it refers to",
				u.file, clip(u.name), maxChecks, maxDepth)
		}
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(r.rules)) {
		if err := visit(r.rules[name]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// measure goes through the checks of u at a depth: it ties references and adds up what deciding costs and asks for.
func (r *Rules) measure(u *rule, c check, depth int, visit func(*rule) error) error {
	u.cost++
	u.depth = max(u.depth, depth)
	within := func(list ...check) error {
		for _, c := range list {
			if err := r.measure(u, c, depth+1, visit); err != nil {
				return err
			}
		}
		return nil
	}
	switch c := c.(type) {
	case anyOf:
		return within(c...)
	case allOf:
		return within(c...)
	case notCheck:
		return within(c.check)
	case roleCheck:
		u.needs(c.name)
	case matchCheck:
		u.needs(c.right)
	case remoteCheck:
		u.remote = true
	case *ruleCheck:
		if c.to = r.rules[c.name]; c.to == nil {
			c.to = r.fallback
			instead := "the default rule decides"
			if c.to == nil {
				instead = "it denies, since there is no default rule either"
			}
			r.warnings = append(r.warnings, fmt.Sprintf("%s: rule %q refers to rule %q, which is not there: %s", u.file, clip(u.name), clip(c.name), instead))
		}
		if c.to == nil {
			return nil
		}
		if err := visit(c.to); err != nil {
			return err
		}
		u.cost = min(u.cost+c.to.cost, maxChecks+1)
		u.depth = max(u.depth, depth+c.to.depth)
		u.remote = u.remote || c.to.remote
		maps.Copy(u.keys, c.to.keys)
	}
	return nil
}

func (u *rule) needs(t template) {
	for _, p := range t {
		if p.key != "" {
			u.keys[p.key] = true
		}
	}
}
