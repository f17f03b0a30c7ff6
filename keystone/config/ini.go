package config

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxFileSize bounds a configuration file. The longest sample files of OpenStack services stay under 1 MiB.
const maxFileSize = 16 << 20

// Item is one assignment of a configuration file, before substitution.
type Item struct {
	// Section is the text between the brackets, as written.
	Section string
	// Key is case-sensitive; Value has its continuation lines joined with "\n".
	Key, Value string
	// File and Line say where the assignment begins, LastLine where its last continuation line is. Lines count from 1.
	File           string
	Line, LastLine int
}

// File is what [Parse] read, in the order of the file. A key may be there more than once: single-valued options take the
// last one, multi-valued ones take all.
type File struct {
	Name  string
	Items []Item
	// Sections has the line of each section header by name; a section that is opened twice keeps its first line.
	Sections map[string]int
}

// ReadFile parses the file at path. A file over 16 MiB is refused.
func ReadFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	defer f.Close()
	return Parse(path, f)
}

// Parse reads the INI dialect of oslo.config:
//
//   - "key = value" or "key: value", whichever separator comes first; both sides are trimmed;
//   - lines that begin with "#" or ";" are comments; a "#" later in a line belongs to the value;
//   - a line that begins with a space or tab continues the value above it, even if a "#" follows. Blank lines and comments
//     end a value, so nothing is left to be continued after them;
//   - one pair of equal quotes around the text of the first line is taken off;
//   - an assignment needs a section above it; names of sections are taken as they stand between the brackets.
//
// Unlike oslo.config it skips a byte order mark and refuses control characters and bytes that are not UTF-8 outside comments.
// The errors are of type [*Error] and never quote a line, which could hold a password.
func Parse(name string, r io.Reader) (*File, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading configuration %s: %w", name, err)
	}
	if len(text) > maxFileSize {
		return nil, fmt.Errorf("reading configuration %s: the file is longer than %d MiB", name, maxFileSize>>20)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))

	f := &File{Name: name, Sections: map[string]int{}}
	section, inSection := "", false
	var lines []string // of the value of the last Item, as long as it may be continued
	end := func() {
		if len(lines) > 1 {
			f.Items[len(f.Items)-1].Value = strings.Join(lines, "\n")
		}
		lines = nil
	}
	number := 0
	for raw := range strings.Lines(string(text)) {
		number++
		fail := func(format string, args ...any) (*File, error) {
			return nil, &Error{Source: fileSource(name, number), Text: fmt.Sprintf(format, args...)}
		}
		line := strings.TrimRightFunc(raw, unicode.IsSpace)
		if line == "" || line[0] == '#' || line[0] == ';' {
			end()
			continue
		}
		if !utf8.ValidString(line) {
			return fail("the line is not UTF-8 text")
		}
		if i := strings.IndexFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }); i >= 0 {
			return fail("the line holds a control character at byte %d", i+1)
		}
		switch line[0] {
		case ' ', '\t':
			if lines == nil {
				return fail("the line begins with a space, which continues the value above it, but there is none; " +
					"remove the leading space, or the blank or comment line before it")
			}
			lines = append(lines, strings.TrimLeftFunc(line, unicode.IsSpace))
			f.Items[len(f.Items)-1].LastLine = number
		case '[':
			if line[len(line)-1] != ']' {
				return fail("a section header ends in ]; nothing may follow it in its line")
			}
			end()
			section, inSection = line[1:len(line)-1], true
			if section == "" {
				return fail("the section has no name")
			}
			if _, again := f.Sections[section]; !again {
				f.Sections[section] = number
			}
		default:
			i := strings.IndexAny(line, "=:")
			if i < 0 {
				return fail("neither a section, nor a comment, nor an assignment: there is no = or : in the line")
			}
			key, value := strings.TrimSpace(line[:i]), strings.TrimSpace(line[i+1:])
			if key == "" {
				return fail("there is no option name before the %c", line[i])
			}
			if !inSection {
				return fail("%q is set before any section; write [DEFAULT] or the section's name above it", key)
			}
			end()
			lines = []string{unquote(value)}
			f.Items = append(f.Items, Item{Section: section, Key: key, Value: lines[0], File: name, Line: number, LastLine: number})
		}
	}
	end()
	return f, nil
}

// unquote takes one pair of equal quotes off. A lone quote counts as a pair, as it does for oslo.config.
func unquote(s string) string {
	if s == "" || (s[0] != '"' && s[0] != '\'') || s[0] != s[len(s)-1] {
		return s
	}
	return s[1:max(1, len(s)-1)]
}

// sameSection compares names of sections as oslo.config does: without regard to case, but [DEFAULT] is written in capitals.
func sameSection(a, b string) bool {
	if a == defaultSection || b == defaultSection {
		return a == b
	}
	return strings.EqualFold(a, b)
}

// defaultSection is the section of options that belong to no group.
const defaultSection = "DEFAULT"

// last is the assignment of section and key that counts for a single-valued option.
func (f *File) last(section, key string) (Item, bool) {
	for i := len(f.Items) - 1; i >= 0; i-- {
		if it := f.Items[i]; it.Key == key && sameSection(it.Section, section) {
			return it, true
		}
	}
	return Item{}, false
}

// all is every assignment of section and key, in the order of the file.
func (f *File) all(section, key string) []Item {
	var items []Item
	for _, it := range f.Items {
		if it.Key == key && sameSection(it.Section, section) {
			items = append(items, it)
		}
	}
	return items
}

// section is the line of the section's header in this file; 0 where the file has none.
func (f *File) section(name string) int {
	first := 0
	for n, line := range f.Sections {
		if sameSection(n, name) && (first == 0 || line < first) {
			first = line
		}
	}
	return first
}
