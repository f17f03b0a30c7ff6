package policy

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("good.json"), `{"x": "@", "y": "@", "z": "@"}`)
	write(t, in("broken.json"), `{"identity:list_users": "role:admin or or role:other"}`)
	write(t, in("one/20.json"), `{"x": "!"}`)
	write(t, in("one/10.json"), `{"x": "@", "y": "!"}`)
	write(t, in("one/.hidden.json"), `broken`)
	write(t, in("one/30.json~"), `broken`)
	write(t, in("one/sub.json/x.json"), `broken`)
	write(t, in("two/a.json"), `{"z": "!"}`)
	write(t, in("bad/a.json"), `{"a": "rule:a"}`)
	for _, test := range []struct {
		file    string
		dirs    []string
		want    string          // of the error
		allowed map[string]bool // of the actions
	}{
		{in("good.json"), nil, "", map[string]bool{"x": true, "y": true, "z": true}},
		{in("good.json"), []string{in("one"), in("two")}, "", map[string]bool{"x": false, "y": false, "z": false}},
		{"", []string{in("one")}, "", map[string]bool{"x": false, "identity:list_regions": true, "identity:list_users": false}},
		{"", nil, "", map[string]bool{"identity:list_regions": true, "identity:list_users": false}},
		{in("none.json"), nil, "[DEFAULT] policy_file: stat " + in("none.json") + ": no such file", nil},
		{dir, nil, "[DEFAULT] policy_file: read " + dir + ": not a file", nil},
		{in("broken.json"), nil, in("broken.json") + `: rule "identity:list_users": "or" stands where a check has to`, nil},
		{in("good.json"), []string{in("none")}, "[DEFAULT] policy_dirs: open " + in("none"), nil},
		{in("good.json"), []string{in("bad")}, in("bad/a.json") + `: rule "a" refers to itself: a → a`, nil},
	} {
		var log bytes.Buffer
		f := NewFiles(test.file, test.dirs, Options{}, slog.New(slog.NewTextHandler(&log, nil)))
		if test.file != "" && allowed(t, f.Rule("x"), someone(), nil) {
			t.Errorf("%s: allows before it is loaded", test.file)
		}
		err := f.Load()
		if (err == nil) != (test.want == "") || err != nil && !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s %s: got %v, want %q", test.file, test.dirs, err, test.want)
		}
		for action, want := range test.allowed {
			if got := allowed(t, f.Rule(action), someone(), nil); got != want {
				t.Errorf("%s %s: %s is %v", test.file, test.dirs, action, got)
			}
		}
		if strings.Contains(log.String(), "30.json~ is not read") != (err == nil && len(test.dirs) > 0 && test.dirs[0] == in("one")) {
			t.Errorf("%s %s: log %s", test.file, test.dirs, log.String())
		}
	}
}

// lockedBuffer is a log that one goroutine writes and another reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedBuffer) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.json")
	dir := filepath.Join(t.TempDir(), "policy.d")
	write(t, path, `{"x": "@"}`)
	write(t, filepath.Join(dir, "a.json"), `{}`)
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		f := NewFiles(path, []string{dir}, Options{}, slog.New(slog.NewTextHandler(&log, nil)))
		if err := f.Load(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()
		step := func(what string, want bool, loaded, failed int) {
			t.Helper()
			log.Reset()
			time.Sleep(3 * DefaultInterval)
			synctest.Wait()
			if got := allowed(t, f.Rule("x"), someone(), nil); got != want {
				t.Errorf("%s: x is %v", what, got)
			}
			if n := strings.Count(log.String(), `msg="policy loaded"`); n != loaded {
				t.Errorf("%s: loaded %d times, want %d: %s", what, n, loaded, log.String())
			}
			if n := strings.Count(log.String(), "level=ERROR"); n != failed {
				t.Errorf("%s: %d errors, want %d: %s", what, n, failed, log.String())
			}
		}
		step("unchanged", true, 0, 0)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, `{"x": "!"}`)
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		step("same length, same time", false, 1, 0)
		write(t, path, `{"x": "@" oops`)
		step("broken", false, 0, 1)
		step("still broken", false, 0, 0)
		write(t, path, `{"x": "role:member and nothing"}`)
		step("broken otherwise", false, 0, 1)
		if !strings.Contains(log.String(), path) || !strings.Contains(log.String(), `rule \"x\"`) {
			t.Errorf("the error names neither file nor rule: %s", log.String())
		}
		write(t, path, `{"x": "!"}`)
		step("as it was", false, 1, 0)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		step("gone", false, 0, 1)
		write(t, path, `{"x": "!"}`)
		step("back", false, 1, 0)
		write(t, filepath.Join(dir, "b.json"), `{"x": "role:member"}`)
		step("another file", true, 1, 0)
		if err := os.Rename(filepath.Join(dir, "b.json"), filepath.Join(dir, "b.off")); err != nil {
			t.Fatal(err)
		}
		step("without it", false, 1, 0)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestDefaultFile: what is built in names no rule that is not there, and everything in it is a name that routes can ask for or
// that another rule uses.
func TestDefaultFile(t *testing.T) {
	rules := Default()
	if len(rules.Warnings()) != 0 {
		t.Errorf("warnings %q", rules.Warnings())
	}
	for name := range rules.rules {
		if !strings.HasPrefix(name, "identity:") && name != "default" && !bytes.Contains(defaultFile, []byte("rule:"+name)) {
			t.Errorf("rule %q is not used", name)
		}
	}
}
