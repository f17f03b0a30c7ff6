package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWrongConfiguration reads the files under testdata/wrong-…: each is one wrong configuration whose first lines say,
// behind "# want: ", the whole message.
func TestWrongConfiguration(t *testing.T) {
	for dir, load := range map[string]func(Input) error{
		"testdata/wrong-authtoken": func(in Input) error { _, err := LoadAuthToken(in); return err },
		"testdata/wrong-keystone":  func(in Input) error { _, err := LoadKeystone(in); return err },
	} {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Chdir(dir)
			files, err := filepath.Glob("*.conf")
			if err != nil || len(files) < 40 {
				t.Fatalf("%d files, %v", len(files), err)
			}
			for _, file := range files {
				t.Run(strings.TrimSuffix(file, ".conf"), func(t *testing.T) {
					want := wanted(t, file)
					err := load(Input{Files: []string{file}})
					if err == nil {
						t.Fatalf("accepted; want\n%s", want)
					}
					if got := err.Error(); got != want {
						t.Errorf("got\n%s\nwant\n%s", got, want)
					}
					if strings.Contains(err.Error(), "hunter") {
						t.Error("the message shows a part of the password")
					}
				})
			}
		})
	}
}

// wanted joins the "# want: " lines that a file begins with.
func wanted(t *testing.T, file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(text)) {
		w, ok := strings.CutPrefix(line, "# want: ")
		if !ok {
			break
		}
		want = append(want, strings.TrimSuffix(w, "\n"))
	}
	return strings.Join(want, "\n")
}
