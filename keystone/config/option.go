package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is the type of an option's value.
type Kind int

// The kinds, as help texts name them.
const (
	String  Kind = iota
	Bool         // true, yes, on, 1 or false, no, off, 0 in any case; nothing else
	Int          // a decimal number
	Seconds      // a duration in whole seconds
	List         // comma-separated; blanks around an item and empty items do not count
)

func (k Kind) String() string {
	return [...]string{"string", "boolean", "integer", "seconds", "list"}[k]
}

// Option describes one option, for the parser as well as for the flags and the help of a command.
type Option struct {
	Section, Name string
	// Aliases are other spellings that are as good as Name, Deprecated ones that draw a warning. Either may name another
	// section: "eventlet_server.public_port".
	Aliases, Deprecated []string
	Kind                Kind
	// Default is written as in a file; "" leaves the option unset.
	Default string
	// Choices are the only values of a String or of the items of a List; nil for any.
	Choices []string
	// Min and Max bound an Int or Seconds, both included. Max 0 is no bound.
	Min, Max int64
	// Secret values are printed as "***" and have no flag, since other users see the command line of a process.
	Secret bool
	// NoEffect is set for an option that is known and read, but does nothing here; it says why.
	NoEffect string
	Help     string

	// plugin options move to the section that auth_section names.
	plugin bool
	// rule checks what Kind, Choices and bounds cannot say. It gets the text after substitution, never "".
	rule func(text string) error
	// dotted makes the value of a dotted class name; nil where the text is the value.
	dotted func(text string) string
}

// Flag is the name of the option's flag, without dashes in front: "auth-url". It is "" for a secret and for an option
// without effect.
func (o *Option) Flag() string {
	if o.Secret || o.NoEffect != "" {
		return ""
	}
	return strings.ReplaceAll(o.Name, "_", "-")
}

// label is how messages name the option.
func (o *Option) label() string { return "[" + o.Section + "] " + o.Name }

// field ties an option to the place of its value in T. Options that are only recognised have no place.
type field[T any] struct {
	Option
	at func(*T) any
}

// describe makes the public table: kinds come from the type of the field.
func describe[T any](table []field[T]) []Option {
	var zero T
	options := make([]Option, len(table))
	for i, f := range table {
		if f.at != nil {
			switch f.at(&zero).(type) {
			case *bool:
				f.Kind = Bool
			case *int, *int64:
				f.Kind = Int
			case *time.Duration:
				f.Kind = Seconds
			case *[]string:
				f.Kind = List
			}
		}
		options[i] = f.Option
	}
	return options
}

// parse checks text and stores it at the pointer to; a nil pointer only checks.
func (o *Option) parse(text string, to any) error {
	if text != "" && o.rule != nil {
		if err := o.rule(text); err != nil {
			return err
		}
	}
	switch to := to.(type) {
	case *string:
		if o.dotted != nil {
			text = o.dotted(text)
		}
		if err := o.choice(text); text != "" && err != nil {
			return err
		}
		*to = text
	case *Secret:
		*to = NewSecret(text)
	case *bool:
		b, err := parseBool(text)
		if err != nil {
			return err
		}
		*to = b
	case *int:
		n, err := o.number(text, "a whole number")
		if err != nil {
			return err
		}
		*to = int(n)
	case *int64:
		n, err := o.number(text, "a whole number")
		if err != nil {
			return err
		}
		*to = n
	case *time.Duration:
		n, err := o.number(text, "a whole number of seconds, written without a unit")
		if err != nil {
			return err
		}
		*to = time.Duration(n) * time.Second
	case *[]string:
		items := splitList(text)
		for _, item := range items {
			if err := o.choice(item); err != nil {
				return err
			}
		}
		*to = items
	}
	return nil
}

func (o *Option) choice(text string) error {
	if o.Choices == nil || slices.Contains(o.Choices, text) {
		return nil
	}
	if len(o.Choices) == 1 {
		return fmt.Errorf("%s is not %s, which is the only choice", shown(o, text), o.Choices[0])
	}
	return fmt.Errorf("%s is not one of %s%s", shown(o, text), strings.Join(o.Choices, ", "), didYouMean(text, o.Choices))
}

// number accepts what Python's int() does, without its underscores and blanks inside.
func (o *Option) number(text, what string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64) // which gives the nearest number where there are too many digits
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%s is not %s", shown(o, text), what)
	}
	limit := o.Max
	if limit == 0 {
		limit = 1 << 31
	}
	switch {
	case n < o.Min:
		return 0, fmt.Errorf("%s is too small; the least is %d", clip(text), o.Min)
	case n > limit:
		return 0, fmt.Errorf("%s is too large; the most is %d", clip(text), limit)
	}
	return n, nil
}

// parseBool takes oslo.config's words and no others. A word that is neither must stop the start: "insecure = flase" once
// switched certificate checks off (CVE-2014-7144, CVE-2015-1852).
func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "1", "on", "yes":
		return true, nil
	case "false", "0", "off", "no":
		return false, nil
	case "":
		return false, fmt.Errorf("there is no value; write true or false")
	}
	return false, fmt.Errorf("%q is not a boolean; write true or false", clip(text))
}

// splitList splits at commas and drops blanks and empty items; nil for nothing.
func splitList(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// shown quotes a wrong value for a message; a secret is not shown.
func shown(o *Option, text string) string {
	if o.Secret {
		return masked
	}
	return strconv.Quote(clip(text))
}

// clip keeps messages readable when a value is long.
func clip(text string) string {
	if len(text) > 80 {
		return text[:77] + "..."
	}
	return text
}
