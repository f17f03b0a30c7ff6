package certs

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Names of the files in a signing_dir; those that auth_token uses.
const (
	keptSignersFile = "signing_cert.pem"
	keptCAFile      = "cacert.pem"
)

// signingDir is an open signing_dir. Whoever can write there decides who signs tokens (CVE-2013-2030), so it must belong to
// this process's user, be writable by nobody else and be no symbolic link; the same goes for the files in it.
type signingDir struct{ root *os.Root }

// openSigningDir opens the directory and makes it, with mode 0700, where it does not exist.
func openSigningDir(path string) (*signingDir, error) {
	named, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(path, 0o700); err == nil {
			named, err = os.Lstat(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("signing_dir: %w", err)
	}
	if !named.IsDir() {
		return nil, fmt.Errorf("signing_dir %s: %w: a symbolic link or no directory", path, ErrUnsafeDir)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("signing_dir: %w", err)
	}
	opened, err := root.Stat(".")
	switch {
	case err != nil:
	case !os.SameFile(named, opened):
		err = fmt.Errorf("%w: it changed while it was opened", ErrUnsafeDir)
	default:
		err = checkOurs(opened)
	}
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("signing_dir %s: %w", path, err)
	}
	return &signingDir{root}, nil
}

func checkOurs(info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: owned by another user, chown it to user id %d", ErrUnsafeDir, os.Geteuid())
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%w: writable by group or others (mode %#o), chmod go-w it", ErrUnsafeDir, info.Mode().Perm())
	}
	return nil
}

// read returns what a file holds; an error that is fs.ErrNotExist without one.
func (d *signingDir) read(name string) ([]byte, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: no regular file", name, ErrUnsafeDir)
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if err := checkOurs(info); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return readBounded(f)
}

// write replaces a file: after a crash there is the old or the new one, never half of it.
func (d *signingDir) write(name string, text []byte) error {
	temporary := "." + name + "." + rand.Text()
	f, err := d.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = d.root.Rename(temporary, name)
	}
	if err != nil {
		d.root.Remove(temporary) // best effort: the first error is the one that matters
		return err
	}
	self, err := d.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(self.Sync(), self.Close())
}

func (d *signingDir) close() {
	if d != nil {
		d.root.Close()
	}
}

func readBounded(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFileSize+1))
	if err == nil && len(text) > maxFileSize {
		err = fmt.Errorf("larger than %d bytes", maxFileSize)
	}
	return text, err
}
