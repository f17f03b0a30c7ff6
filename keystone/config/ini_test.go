package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestParseRules has the rules of oslo.config, each tried on the real one (9.1), but for the rows marked "ours".
func TestParseRules(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       string // value of [g] a; "!" and the line number for an error
	}{
		{"equals", "[g]\na = x", "x"},
		{"colon", "[g]\na: x", "x"},
		{"first separator counts, colon", "[g]\na: b=c", "b=c"},
		{"first separator counts, equals", "[g]\na=b:c", "b:c"},
		{"no spaces", "[g]\na=x", "x"},
		{"tabs", "[g]\na\t=\tx\t", "x"},
		{"empty value", "[g]\na =", ""},
		{"CRLF", "[g]\r\na = x\r\n  y\r\n", "x\ny"},
		{"comment lines", "# c\n; c\n[g]\n#a = 1\na = x\n;a = 2", "x"},
		{"hash inside", "[g]\na = 1 # c", "1 # c"},
		{"continuation", "[g]\na = x\n  y\n\tz", "x\ny\nz"},
		{"continuation of nothing", "[g]\na =\n  y", "\ny"},
		{"indented comment continues", "[g]\na = 1\n # c", "1\n# c"},
		{"blank line ends a value", "[g]\na = x\n\n  y", "!4"},
		{"line of blanks ends a value", "[g]\na = x\n   \n  y", "!4"},
		{"comment ends a value", "[g]\na = x\n; c\n  y", "!4"},
		{"section ends a value", "[g]\na = x\n[h]\n  y", "!4"},
		{"indented assignment", "[g]\n  a = 1", "!2"},
		{"double quotes", "[g]\na = \"x \"", "x "},
		{"single quotes", "[g]\na = 'x'", "x"},
		{"unequal quotes", "[g]\na = \"x'", "\"x'"},
		{"one pair only", "[g]\na = ''x''", "'x'"},
		{"quotes of the first line only", "[g]\na = \"x\"\n  \"y\"", "x\n\"y\""},
		{"quotes over two lines stay", "[g]\na = \"x\n  y\"", "\"x\ny\""},
		{"lone quote", "[g]\na = \"", ""},
		{"repeated key", "[g]\na = 1\na = 2", "2"},
		{"section opened twice", "[g]\na = 1\n[h]\na = 2\n[g]\na = 3", "3"},
		{"section in capitals", "[G]\na = 1", "1"},
		{"blanks in a section's name count", "[ g ]\na = 1", "-"},
		{"key is case-sensitive", "[g]\nA = 1", "-"},
		{"dash is no underscore", "[g]\na-b = 1", "-"},
		{"before a section", "a = 1", "!1"},
		{"no separator", "[g]\nfoo", "!2"},
		{"no key", "[g]\n= x", "!2"},
		{"open section", "[g\na = 1", "!1"},
		{"comment behind a section", "[g] # c\na = 1", "!1"},
		{"nameless section", "[]\na = 1", "!1"},
		{"ours: byte order mark", "\ufeff[g]\na = 1", "1"},
		{"ours: control character", "[g]\na = x\x0by", "!2"},
		{"ours: NUL", "[g]\na = \x00", "!2"},
		{"ours: lone CR", "[g]\na = x\ry", "!2"},
		{"ours: not UTF-8", "[g]\na = \xff", "!2"},
		{"not UTF-8 in a comment", "[g]\n# \xff\na = 1", "1"},
		{"no newline at the end of a comment", "[g]\na = 1\n#", "1"},
		{"nothing", "", "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Parse("F", strings.NewReader(tt.text))
			got := "-"
			if e := (*Error)(nil); errors.As(err, &e) {
				got = fmt.Sprint("!", e.Source.Line)
			} else if err != nil {
				t.Fatal(err)
			} else if it, ok := f.last("g", "a"); ok {
				got = it.Value
			}
			if got != tt.want {
				t.Errorf("got %q, want %q (%v)", got, tt.want, err)
			}
		})
	}
}

func TestParsePlaces(t *testing.T) {
	f, err := Parse("F", strings.NewReader("# one\n[g]\nm = a\nm = b\n  c\n\n[h]\n[g]\nm = d\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Item{
		{Section: "g", Key: "m", Value: "a", File: "F", Line: 3, LastLine: 3},
		{Section: "g", Key: "m", Value: "b\nc", File: "F", Line: 4, LastLine: 5},
		{Section: "g", Key: "m", Value: "d", File: "F", Line: 9, LastLine: 9},
	}
	if got := f.all("g", "m"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if f.section("g") != 2 || f.section("h") != 7 || f.section("x") != 0 {
		t.Errorf("sections %v", f.Sections)
	}
}

func TestDefaultIsWrittenInCapitals(t *testing.T) {
	f, err := Parse("F", strings.NewReader("[default]\na = 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if it, ok := f.last("DEFAULT", "a"); ok {
		t.Errorf("[default] counts as [DEFAULT]: %v", it)
	}
}

func TestFileTooLong(t *testing.T) {
	_, err := Parse("F", strings.NewReader(strings.Repeat("#\n", maxFileSize/2+1)))
	if err == nil || err.Error() != "reading configuration F: the file is longer than 16 MiB" {
		t.Errorf("got %v", err)
	}
}

func TestMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.conf")
	if _, err := LoadAuthToken(Input{Files: []string{path}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// spell writes a file back, in the one spelling that keeps everything.
func spell(f *File) string {
	var out strings.Builder
	for _, it := range f.Items {
		first, more, continued := strings.Cut(it.Value, "\n")
		fmt.Fprintf(&out, "[%s]\n%s = \"%s\"\n", it.Section, it.Key, first)
		if continued {
			fmt.Fprintf(&out, " %s\n", strings.ReplaceAll(more, "\n", "\n "))
		}
	}
	return out.String()
}

// FuzzParse: whatever is accepted has sound places, and reads the same when it is written back.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"[g]\na = x\n  y\n", "[g]\na: 'b'\n#\n;\n[DEFAULT]\nc==\n", "[x]]\nk:=\"\"\n", "\ufeff[g]\na=$b${c.d}$$\\$\r\n", "[\t]\na\u00a0=\u00a0\u2003b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("F", strings.NewReader(text))
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) || e.Source.Line < 1 {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		lines := strings.Count(text, "\n") + 1
		for _, it := range file.Items {
			if it.Key == "" || it.Section == "" || it.Line < 1 || it.LastLine < it.Line || it.LastLine > lines {
				t.Fatalf("unsound item %+v", it)
			}
		}
		again, err := Parse("F", strings.NewReader(spell(file)))
		if err != nil {
			t.Fatalf("written back: %v\n%q", err, spell(file))
		}
		if len(again.Items) != len(file.Items) {
			t.Fatalf("%d items, then %d", len(file.Items), len(again.Items))
		}
		for i, it := range file.Items {
			if a := again.Items[i]; a.Section != it.Section || a.Key != it.Key || a.Value != it.Value {
				t.Fatalf("%+v, then %+v", it, a)
			}
		}
	})
}

// FuzzLoad: no text makes the loaders panic or run on, and no message shows the password.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"cafile = $password\n", "username = ${username}\n", "auth_section = x\n[x]\npassword = $cafile", "insecure = $password"} {
		f.Add(seed)
	}
	path := filepath.Join(f.TempDir(), "f.conf")
	f.Fuzz(func(t *testing.T, text string) {
		const secret = "$$s3cr3t"
		text = "[DEFAULT]\nadmin_token = " + secret + "\n[keystone_authtoken]\npassword = " + secret + "\n" + text
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		in := Input{Files: []string{path}}
		said := ""
		if a, err := LoadAuthToken(in); err != nil {
			said = err.Error()
		} else {
			said = fmt.Sprint(a.Effective(), a.Warnings())
		}
		if k, err := LoadKeystone(in); err != nil {
			said += err.Error()
		} else {
			said += fmt.Sprint(k.Effective(), k.Warnings())
		}
		if strings.Contains(said, "s3cr3t") && !strings.Contains(text[len("[DEFAULT]\nadmin_token = [keystone_authtoken]\npassword = \n")+2*len(secret):], "s3cr3t") {
			t.Errorf("the secret shows in\n%s", said)
		}
	})
}
