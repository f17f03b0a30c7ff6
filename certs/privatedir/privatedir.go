// Package privatedir keeps files in a directory that nobody else can write to, such as signing_dir. Whoever can write there
// decides who signs tokens (CVE-2013-2030) or puts an older revocation list back, so the directory and all files in it must
// belong to this process's user and be writable by nobody else, and symbolic links are refused.
package privatedir

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ErrUnsafe says that somebody else could have written to a directory or file.
var ErrUnsafe = errors.New("not private to this user")

// Dir is an open directory.
type Dir struct{ root *os.Root }

// Open opens a directory and makes it, with mode 0700, where there is none. Close must be called.
func Open(path string) (Dir, error) {
	named, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(path, 0o700); err == nil {
			named, err = os.Lstat(path)
		}
	}
	if err != nil {
		return Dir{}, err
	}
	if !named.IsDir() {
		return Dir{}, fmt.Errorf("%s: %w: a symbolic link or no directory, name the directory itself", path, ErrUnsafe)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return Dir{}, err
	}
	opened, err := root.Stat(".")
	switch {
	case err != nil:
	case !os.SameFile(named, opened):
		err = fmt.Errorf("%s: %w: it changed while it was opened", path, ErrUnsafe)
	default:
		err = checkOurs(path, opened)
	}
	if err != nil {
		root.Close()
		return Dir{}, err
	}
	return Dir{root}, nil
}

// Close closes the directory; that of the zero Dir does nothing.
func (d Dir) Close() {
	if d.root != nil {
		d.root.Close()
	}
}

// checkOurs wants a file or directory to be this user's and nobody else's to write.
func checkOurs(name string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int64(st.Uid) != int64(os.Geteuid()) {
		return fmt.Errorf("%s: %w: owned by another user, chown it to user id %d", name, ErrUnsafe, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("%s: %w: writable by group or others (mode %#o), chmod go-w it", name, ErrUnsafe, mode)
	}
	return nil
}

// Has says whether there is a file of that name, whatever it is.
func (d Dir) Has(name string) bool {
	_, err := d.root.Lstat(name)
	return err == nil
}

// Read gives what a file of at most most bytes holds; the error is fs.ErrNotExist without one.
func (d Dir) Read(name string, most int64) ([]byte, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := ReadBounded(f, most)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return text, nil
}

// Open opens a file for reading.
func (d Dir) Open(name string) (*os.File, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if err := checkFile(name, info); err != nil {
		return nil, err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	if opened, err := f.Stat(); err != nil || !os.SameFile(info, opened) {
		f.Close()
		return nil, fmt.Errorf("%s changed while it was opened", name)
	}
	return f, nil
}

func checkFile(name string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w: no regular file, remove it", name, ErrUnsafe)
	}
	return checkOurs(name, info)
}

// Write replaces a file: even after a crash there is the old one or the new one, whole.
func (d Dir) Write(name string, text []byte) error {
	if info, err := d.root.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w: no regular file, remove it", name, ErrUnsafe)
	}
	temporary := "." + name + "." + rand.Text()
	f, err := d.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = f.Write(text)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = d.root.Rename(temporary, name)
	}
	if err != nil {
		d.root.Remove(temporary) // the first error is the one to tell
		return fmt.Errorf("writing %s: %w", name, short(err))
	}
	return d.sync()
}

// Remove removes a file, if there is one.
func (d Dir) Remove(name string) error {
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ErrNotOurs says of a file to append to that it is not the one that was written here.
var ErrNotOurs = errors.New("not what was written here")

// Append cuts a file off at offset and writes text behind that, which is on disk when it returns. It makes the file if offset
// is 0. The error is ErrNotOurs where there is no such file to go on with.
func (d Dir) Append(name string, offset int64, text []byte) error {
	info, err := d.root.Lstat(name)
	isNew := errors.Is(err, fs.ErrNotExist) && offset == 0
	switch {
	case isNew:
		err = nil
	case err != nil:
	case info.Mode().IsRegular() && info.Size() < offset:
		err = fmt.Errorf("%s has been cut off by somebody else", name)
	default:
		err = checkFile(name, info)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotOurs, err)
	}
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if opened, statErr := f.Stat(); !isNew && (statErr != nil || !os.SameFile(info, opened)) {
		err = fmt.Errorf("%s changed while it was opened", name)
	}
	if err == nil {
		err = f.Truncate(offset)
	}
	if err == nil {
		_, err = f.WriteAt(text, offset)
		if err = errors.Join(err, f.Sync()); err != nil {
			_ = f.Truncate(offset) // else a torn end is left, which who reads it has to know
		}
	}
	err = errors.Join(err, f.Close())
	if err == nil && isNew {
		err = d.sync()
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, short(err))
	}
	return nil
}

// short leaves out what names the temporary file, each time another.
func short(err error) error {
	var cause syscall.Errno
	if errors.As(err, &cause) {
		return cause
	}
	return err
}

// sync makes new names last.
func (d Dir) sync() error {
	self, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer self.Close()
	return self.Sync()
}

// ReadBounded reads a regular file of at most most bytes, in one piece of memory if it does not grow meanwhile.
func ReadBounded(f *os.File, most int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if info.Size() <= most {
		text.Grow(int(info.Size()) + bytes.MinRead)
		_, err = text.ReadFrom(io.LimitReader(f, most+1))
	}
	if err == nil && max(int64(text.Len()), info.Size()) > most {
		err = fmt.Errorf("larger than %d bytes", most)
	}
	return text.Bytes(), err
}
