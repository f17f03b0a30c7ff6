package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Input is where configuration comes from. The zero Input gives the built-in defaults.
type Input struct {
	// Files are read in order; what a later one says wins.
	Files []string
	// Environ holds "KEY=value" pairs, as os.Environ returns them.
	Environ []string
	// Flags holds the flags that were given, by their name without dashes ("auth-url"). A boolean flag without a value is
	// "true"; repeated list flags are joined with a comma.
	Flags map[string]string
}

// loader fills one typed struct. Values of files are substituted; those of the environment and of flags are taken as they
// are, since the shell has its own dollar signs.
type loader struct {
	options []Option
	files   []*File
	prefix  string // of environment variables; "" for none
	env     map[string]string
	flags   map[string]string
	// flagName, if it is set, is the one flag that all of flags were parts of.
	flagName string

	used     map[string]raw // by option name, what was given for it
	values   []Value
	warnings []Warning
	errs     []error
}

// raw is the text of an option as its source has it.
type raw struct {
	text   string
	source Source
	// item and spelling are for a file: which of the option's names was used, as an index of names.
	item     Item
	spelling int
}

func newLoader(options []Option, in Input, prefix string) (*loader, error) {
	l := &loader{options: options, prefix: prefix, flags: in.Flags, env: map[string]string{}, used: map[string]raw{}}
	for _, path := range in.Files {
		f, err := ReadFile(path)
		if err != nil {
			return nil, err
		}
		l.files = append(l.files, f)
	}
	if prefix != "" {
		for _, pair := range in.Environ {
			if key, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(key, prefix) {
				l.env[key] = value
			}
		}
	}
	return l, nil
}

func (l *loader) fail(s Source, option, format string, args ...any) {
	l.errs = append(l.errs, &Error{Source: s, Option: option, Text: fmt.Sprintf(format, args...)})
}

func (l *loader) warn(s Source, option, format string, args ...any) {
	l.warnings = append(l.warnings, Warning{Source: s, Option: option, Text: fmt.Sprintf(format, args...)})
}

// err joins the findings, nil for none.
func (l *loader) err() error { return errors.Join(l.errs...) }

func envName(prefix string, o *Option) string { return prefix + strings.ToUpper(o.Name) }

// names are the spellings of the option as (section, key), current ones first.
func (o *Option) names() [][2]string {
	names := [][2]string{{o.Section, o.Name}}
	for _, n := range slices.Concat(o.Aliases, o.Deprecated) {
		section, key, other := strings.Cut(n, ".")
		if !other {
			section, key = o.Section, n
		}
		names = append(names, [2]string{section, key})
	}
	return names
}

// find looks an option up in its sources, highest precedence first.
func (l *loader) find(o *Option) (raw, bool) {
	if text, ok := l.flags[o.Flag()]; ok && o.Flag() != "" {
		return raw{text: text, source: Source{Origin: Flag, Name: cmp.Or(l.flagName, o.Flag())}}, true
	}
	if l.prefix != "" {
		if text, ok := l.env[envName(l.prefix, o)]; ok {
			return raw{text: text, source: Source{Origin: Environment, Name: envName(l.prefix, o)}}, true
		}
	}
	for _, f := range slices.Backward(l.files) {
		for i, n := range o.names() {
			if it, ok := f.last(n[0], n[1]); ok {
				return raw{text: it.Value, source: fileSource(it.File, it.Line), item: it, spelling: i}, true
			}
		}
	}
	return raw{text: o.Default}, false
}

// fill reads every option of the table into dst.
func fill[T any](l *loader, dst *T, table []field[T]) {
	for i := range table {
		o := &l.options[i]
		var to any
		if table[i].at != nil {
			to = table[i].at(dst)
		}
		l.read(o, to)
	}
	l.unknownFlags()
}

// read finds, substitutes, checks and stores one option, and notes its effective value.
func (l *loader) read(o *Option, to any) {
	r, found := l.find(o)
	if found {
		l.used[o.Name] = r
	}
	text := r.text
	if r.source.Origin == FromFile {
		l.spelling(o, r)
		var secret bool
		var err error
		if text, secret, err = l.expand(o, r.item); err != nil {
			l.fail(r.source, o.label(), "%v", err)
			return
		}
		if secret && !o.Secret {
			l.fail(r.source, o.label(), "the value takes in a secret, but is not kept as one; a substitution may name secrets only in an option that is one")
			return
		}
	}
	if found && o.NoEffect != "" {
		l.warn(r.source, o.label(), "is read but has no effect here: %s", o.NoEffect)
	}
	if to == nil {
		if err := o.parse(text, nil); err != nil {
			l.fail(r.source, o.label(), "%v", err)
		}
		return
	}
	if o.Kind != List && strings.Contains(text, "\n") {
		l.fail(r.source, o.label(), "the value goes on to line %d, since indented lines continue the line above them; write it in one line", r.item.LastLine)
		return
	}
	if o.Kind != String {
		text = strings.TrimSpace(text)
	}
	if text == "" && found && (o.Kind == Int || o.Kind == Seconds) {
		// For oslo.config an empty number is no number; here it is the default.
		text, r.source = o.Default, Source{}
	}
	if err := o.parse(text, to); err != nil {
		l.fail(r.source, o.label(), "%v", err)
		return
	}
	l.values = append(l.values, Value{Section: o.Section, Name: o.Name, Text: display(o, text), Source: r.source})
}

// display is the text of a value for print.
func display(o *Option, text string) string {
	switch {
	case o.Secret && text != "":
		return masked
	case o.Kind == List:
		return strings.Join(splitList(text), ",")
	}
	return text
}

// spelling warns of an old name, and of lines that say nothing because another one of the same file wins.
func (l *loader) spelling(o *Option, r raw) {
	if r.spelling > len(o.Aliases) {
		l.warn(r.source, "["+r.item.Section+"] "+r.item.Key, "is an old name; write %s", o.label())
	}
	for _, f := range l.files {
		if f.Name != r.item.File {
			continue
		}
		for _, n := range o.names() {
			for _, it := range f.all(n[0], n[1]) {
				if it.Line != r.item.Line && it.Value != r.item.Value {
					l.warn(fileSource(it.File, it.Line), "["+it.Section+"] "+it.Key, "has no effect, line %d says otherwise", r.item.Line)
				}
			}
		}
	}
}

// unknownFlags reports flags that no option has; only a fault of the calling command makes one.
func (l *loader) unknownFlags() {
	for name := range l.flags {
		if !slices.ContainsFunc(l.options, func(o Option) bool { return o.Flag() == name }) {
			l.fail(Source{Origin: Flag, Name: name}, "", "there is no option of this name that a flag may set")
		}
	}
}

// where is the source of what was given for an option; the default Source where nothing was.
func (l *loader) where(name string) Source { return l.used[name].source }

// given says whether any source had a word on the option.
func (l *loader) given(name string) bool {
	_, ok := l.used[name]
	return ok
}

// replace notes another effective value for an option than the one that was read.
func (l *loader) replace(name, text string, s Source) {
	for i := range l.values {
		if l.values[i].Name == name {
			l.values[i].Text, l.values[i].Source = text, s
		}
	}
}
