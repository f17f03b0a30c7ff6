package privatedir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "b")
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := d.Read("x", 10); !errors.Is(err, fs.ErrNotExist) || d.Has("x") {
		t.Errorf("no file: %v", err)
	}
	if err := d.Write("x", []byte("one")); err != nil || !d.Has("x") {
		t.Error(err)
	}
	if err := d.Append("x", 2, []byte("ly")); err != nil {
		t.Error(err)
	}
	if text, err := d.Read("x", 4); err != nil || string(text) != "only" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := d.Read("x", 3); err == nil || !strings.Contains(err.Error(), "larger than 3 bytes") {
		t.Errorf("too large: %v", err)
	}
	for name, err := range map[string]error{"cut off": d.Append("x", 5, nil), "not there": d.Append("y", 1, nil)} {
		if !errors.Is(err, ErrNotOurs) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(d.Append("y", 0, []byte("new")), d.Remove("y"), d.Remove("y")); err != nil || d.Has("y") {
		t.Error(err)
	}
	if names, err := os.ReadDir(path); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestUnsafe(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir string) error{
		"directory writable by group": func(dir string) error { return os.Chmod(dir, 0o770) },
		"directory is a link": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+"2"), os.Symlink(dir+"2", dir))
		},
		"directory is a file":  func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) },
		"file writable by all": func(dir string) error { return os.Chmod(filepath.Join(dir, "x"), 0o602) },
		"file is a link":       func(dir string) error { return relink(filepath.Join(dir, "x")) },
		"file leads elsewhere": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "x")), os.Symlink("/etc/hostname", filepath.Join(dir, "x")))
		},
		"file is a directory": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "x")), os.Mkdir(filepath.Join(dir, "x"), 0o700))
		},
	} {
		dir := filepath.Join(t.TempDir(), "d")
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		err = d.Write("x", []byte("text"))
		d.Close()
		if err := errors.Join(err, spoil(dir)); err != nil {
			t.Fatal(err)
		}
		err = func() error {
			d, err := Open(dir)
			if err != nil {
				return err
			}
			defer d.Close()
			_, err = d.Read("x", 10)
			return err
		}()
		if !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func relink(path string) error {
	return errors.Join(os.Rename(path, path+"2"), os.Symlink(filepath.Base(path)+"2", path))
}
