package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLogFileMoves moves the log away as logrotate does.
func TestLogFileMoves(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keystone.log")
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	now := time.Now()
	l.now = func() time.Time { return now }
	write := func(text string) {
		t.Helper()
		if _, err := l.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(name, text string) {
		t.Helper()
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != text {
			t.Errorf("%s holds %q, %v; want %q", name, got, err, text)
		}
	}
	write("1")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("2") // it looks once in a second
	want("keystone.log.1", "12")
	now = now.Add(lookAfter)
	write("3")
	write("4")
	want("keystone.log.1", "12")
	want("keystone.log", "34")

	// While there can be no new one, the one before goes on.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	now = now.Add(lookAfter)
	write("5")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	now = now.Add(lookAfter)
	write("6")
	want("keystone.log", "6")
}
