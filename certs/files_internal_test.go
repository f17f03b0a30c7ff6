package certs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A file that appears between the first look and the last step is not replaced, and those before it are taken back.
func TestPutInPlaceStopsAtAFileThatAppeared(t *testing.T) {
	t.Parallel()
	for _, replace := range []bool{false, true} {
		dir := t.TempDir()
		first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
		var files []staged
		for _, path := range []string{first, second} {
			f, err := stage(path, []byte("new"), 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		if err := os.WriteFile(second, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := putInPlace(files, replace)
		_, statErr := os.Stat(first)
		text, readErr := os.ReadFile(second)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if replace && (err != nil || statErr != nil || string(text) != "new") {
			t.Errorf("replace: %v, %v, %q", err, statErr, text)
		}
		if !replace && (!errors.Is(err, fs.ErrExist) || !errors.Is(statErr, fs.ErrNotExist) || string(text) != "old") {
			t.Errorf("%v, %v, %q", err, statErr, text)
		}
	}
}
