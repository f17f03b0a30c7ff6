package certs

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// staged is a file that is complete and on disk beside the place where it is to be.
type staged struct{ temporary, path string }

// stage writes a file beside path, which gets its directory if that is missing. With like, the file belongs to whom that one
// belongs to.
func stage(path string, text []byte, mode fs.FileMode, like fs.FileInfo) (staged, error) {
	dir, base := filepath.Split(path)
	if dir != "" {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return staged{}, err
		}
	}
	s := staged{temporary: filepath.Join(dir, "."+base+"."+rand.Text()), path: path}
	f, err := os.OpenFile(s.temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return staged{}, err
	}
	_, err = f.Write(text)
	if like != nil {
		err = errors.Join(err, giveTo(f, like))
	}
	// Chmod, since the umask must not take the certificates from those who read them.
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		os.Remove(s.temporary)
		return staged{}, fmt.Errorf("writing %s: %w", path, err)
	}
	return s, nil
}

// giveTo makes f belong to the user and group that the file like belongs to, if it does not anyway.
func giveTo(f *os.File, like fs.FileInfo) error {
	want, ok := like.Sys().(*syscall.Stat_t)
	info, err := f.Stat()
	if err != nil || !ok {
		return err
	}
	if have, ok := info.Sys().(*syscall.Stat_t); ok && have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}

// putInPlace gives staged files their names. Without replace it stops at a file that appeared in the meantime, and takes
// back those before it.
func putInPlace(files []staged, replace bool) (err error) {
	var placed []string
	defer func() {
		if err != nil && !replace {
			for _, path := range placed {
				os.Remove(path)
			}
		}
	}()
	for _, f := range files {
		if replace {
			err = os.Rename(f.temporary, f.path)
		} else {
			err = f.rename()
		}
		if err != nil {
			return err
		}
		placed = append(placed, f.path)
	}
	for _, f := range files {
		if err := syncDir(filepath.Dir(f.path)); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	return nil
}

// rename gives the file its name if nothing has it.
func (s staged) rename() error {
	err := os.Link(s.temporary, s.path) // unlike a rename, it never replaces
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// A file system without hard links.
	if err := refuseExisting([]string{s.path}); err != nil {
		return err
	}
	return os.Rename(s.temporary, s.path)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
