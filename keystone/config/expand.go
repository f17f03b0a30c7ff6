package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxExpanded bounds what substitution may build: a handful of lines that each name the one before twice doubles every time.
const maxExpanded = 64 << 10

// expand substitutes in a value of a file as oslo.config does. "$name" and "${name}" stand for an option of the same section,
// else of [DEFAULT]; "${section.name}" for one of another section; "$$" and "\$" for a dollar sign. A dollar sign that no name
// follows stays. Names may hold letters, digits, "_" and, inside, "."; so "$host.example.com" asks for an option
// "example.com" of a section [host], and is to be written "${host}.example.com".
//
// Unlike there, a loop is an error with its names instead of a crash. secret says that the text of a secret option went into
// the value; no error shows a part of such a text.
func (l *loader) expand(o *Option, it Item) (text string, secret bool, err error) {
	x := expansion{loader: l, budget: maxExpanded, secret: o.Secret}
	text, err = x.substitute(it.Section, it.Value, o.Secret, []string{it.Section + "." + it.Key})
	return text, x.secret, err
}

// expansion is the work on one value.
type expansion struct {
	*loader
	budget int
	secret bool
}

// substitute works on a text that is written in section; hide keeps it out of errors. seen is the way to it.
func (x *expansion) substitute(section, text string, hide bool, seen []string) (string, error) {
	if x.budget -= len(text); x.budget < 0 {
		return "", errors.New("substitution makes the value longer than 64 KiB")
	}
	text = strings.ReplaceAll(text, `\$`, "$$")
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		if strings.HasPrefix(after, "$") {
			out.WriteByte('$')
			text = after[1:]
			continue
		}
		name, rest := reference(after)
		if name == "" {
			out.WriteByte('$')
			text = after
			continue
		}
		value, err := x.lookup(section, name, hide, seen)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		text = rest
	}
}

// reference splits "{name}rest", or "name" and what follows its last letter; name is "" where none begins.
func reference(s string) (name, rest string) {
	braced := strings.HasPrefix(s, "{")
	if braced {
		s = s[1:]
	}
	n := 0
	for n < len(s) && (s[n] == '_' || 'a' <= s[n]|0x20 && s[n]|0x20 <= 'z' || n > 0 && (s[n] == '.' || '0' <= s[n] && s[n] <= '9')) {
		n++
	}
	if !braced {
		return s[:n], s[n:]
	}
	if n < len(s) && s[n] == '}' {
		return s[:n], s[n+1:]
	}
	return "", ""
}

// lookup is the substituted value of the option that a reference names.
func (x *expansion) lookup(section, name string, hide bool, seen []string) (string, error) {
	places := [][2]string{{section, name}, {defaultSection, name}}
	group, key, dotted := strings.Cut(name, ".")
	if dotted {
		places = [][2]string{{group, key}}
	}
	for _, p := range places {
		o, r, ok := x.rawText(p[0], p[1])
		if !ok {
			continue
		}
		x.secret = x.secret || o.Secret
		if r.source.Origin == Environment || r.source.Origin == Flag {
			return r.text, nil
		}
		id := p[0] + "." + p[1]
		if slices.Contains(seen, id) {
			return "", fmt.Errorf("the substitutions go round in a circle: %s", strings.Join(append(seen, id), ", "))
		}
		return x.substitute(p[0], r.text, o.Secret, append(slices.Clip(seen), id))
	}
	switch {
	case hide:
		return "", errors.New("a $ in the value names no option that is set; write $$ for a dollar sign")
	case dotted:
		return "", fmt.Errorf("$%s names no option that is set in section [%s]; write ${%s}.%s to end the name before the dot, or $$ for a dollar sign",
			name, group, group, key)
	}
	return "", fmt.Errorf("$%s names no option that is set in [%s] or [%s]; write $$ for a dollar sign", name, section, defaultSection)
}

// rawText finds the text of any option: one of ours by its precedence and with its default, another one in the files.
func (l *loader) rawText(section, key string) (*Option, raw, bool) {
	for i := range l.options {
		o := &l.options[i]
		if o.Name == key && sameSection(o.Section, section) {
			r, _ := l.find(o)
			return o, r, true
		}
	}
	for _, f := range slices.Backward(l.files) {
		if it, ok := f.last(section, key); ok {
			return &Option{}, raw{text: it.Value, source: fileSource(it.File, it.Line), item: it}, true
		}
	}
	return nil, raw{}, false
}
