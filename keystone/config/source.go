package config

import (
	"fmt"
	"log/slog"
	"strconv"
)

// Origin is the kind of place that a value came from.
type Origin int

// The places of a value, in rising precedence.
const (
	Default Origin = iota
	FromFile
	Environment
	Flag
)

// Source says where a value came from. The zero Source is the built-in default.
type Source struct {
	Origin Origin
	// Name is the file, the environment variable or the flag (without its dashes); "" for a default.
	Name string
	// Line counts from 1; 0 for anything but a file.
	Line int
}

func fileSource(name string, line int) Source {
	return Source{Origin: FromFile, Name: name, Line: line}
}

// String is "default", "glance-api.conf:12", "environment AUTHPROXY_INSECURE" or "flag --insecure".
func (s Source) String() string {
	switch s.Origin {
	case FromFile:
		return s.Name + ":" + strconv.Itoa(s.Line)
	case Environment:
		return "environment " + s.Name
	case Flag:
		return "flag --" + s.Name
	}
	return "default"
}

// Error is one finding in the configuration.
type Error struct {
	// Source is the place of the finding; the default Source stands for "nowhere", a value that is missing.
	Source Source
	// Option is the option concerned, with its section ("[keystone_authtoken] insecure"); "" for errors of syntax.
	Option string
	// Text says what is wrong and what to do. It never holds the value of a secret.
	Text string
}

func (e *Error) Error() string { return message(e.Source, e.Option, e.Text) }

// Warning is something an operator should know, but that does not stop the program.
type Warning struct {
	Source Source
	Option string
	Text   string
}

func (w Warning) String() string { return message(w.Source, w.Option, w.Text) }

func message(s Source, option, text string) string {
	out := text
	if option != "" {
		out = option + ": " + text
	}
	if s.Origin != Default {
		out = s.String() + ": " + out
	}
	return out
}

// Value is the effective value of one option, fit for print.
type Value struct {
	Section, Name string
	// Text is the value as one would write it in the file; "***" for a secret that is set.
	Text   string
	Source Source
}

// String is "name = text  # source".
func (v Value) String() string { return fmt.Sprintf("%s = %s  # %s", v.Name, v.Text, v.Source) }

// masked stands for a secret wherever one would be printed.
const masked = "***"

// Secret is a text that no way of printing shows: fmt, encoding/json and log/slog write "***", or "" for the empty one.
// The text is behind a pointer, since fmt passes by the methods of unexported fields.
type Secret struct{ text *string }

// NewSecret wraps text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal is the text itself.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String is "***", or "" for the empty secret.
func (s Secret) String() string {
	if s.text == nil {
		return ""
	}
	return masked
}

// Format writes String for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText is String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
