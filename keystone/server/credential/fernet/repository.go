package fernet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Active is how many keys a repository has: the one that encrypts, the one that will next, and the one that did before. More would
// be of no use, since nothing is rotated before all is encrypted with the present one.
const Active = 3

// staged is the file of the key that will encrypt after the next rotation, so that other nodes have it by then. The others have
// higher numbers, and that with the highest encrypts.
const staged = 0

// Repository is a directory of keys, one in each file.
type Repository struct{ Dir string }

// file is a key with the number that is its name.
type file struct {
	number int
	key    Key
}

func (r Repository) path(number int) string { return filepath.Join(r.Dir, strconv.Itoa(number)) }

// Load reads the keys. Files that others may read or change are an error, as is a repository without keys.
func (r Repository) Load() (Ring, error) {
	files, err := r.read()
	if err != nil {
		return nil, err
	}
	var ring Ring
	for _, f := range files {
		ring = append(ring, f.key)
	}
	return ring, nil
}

// read is the keys, that with the highest number first.
func (r Repository) read() ([]file, error) {
	names, err := os.ReadDir(r.Dir)
	if err != nil {
		return nil, fmt.Errorf("keys of credentials: %w", err)
	}
	var files []file
	for _, name := range names {
		number, err := strconv.Atoi(name.Name())
		if err != nil || number < 0 || strconv.Itoa(number) != name.Name() {
			continue
		}
		key, err := readKey(r.path(number))
		if errors.Is(err, fs.ErrNotExist) { // a rotation has removed it
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("keys of credentials: %w", err)
		}
		files = append(files, file{number, key})
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("keys of credentials: there are none in %s", r.Dir)
	}
	slices.SortFunc(files, func(a, b file) int { return b.number - a.number })
	return files, nil
}

func readKey(path string) (Key, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return Key{}, err
	case !info.Mode().IsRegular():
		return Key{}, fmt.Errorf("%s is no regular file", path)
	case info.Mode().Perm()&0o027 != 0:
		return Key{}, fmt.Errorf("%s can be read or changed by others (mode %#o), chmod it to 0600", path, info.Mode().Perm())
	case info.Size() > 1024:
		return Key{}, fmt.Errorf("%s is too long for a key", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Key{}, err
	}
	key, err := ParseKey(strings.TrimSpace(string(text)))
	if err != nil {
		return Key{}, fmt.Errorf("%s %w", path, err)
	}
	return key, nil
}

// Setup makes the directory and its first two keys. It is an error where there are keys.
func (r Repository) Setup() error {
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	if _, err := os.Lstat(r.path(staged)); err == nil {
		return fmt.Errorf("%s has keys already", r.Dir)
	}
	if files, err := r.read(); err == nil {
		return fmt.Errorf("%s has %d keys already, but no file %d: a rotation makes it", r.Dir, len(files), staged)
	}
	if err := r.write(1); err != nil {
		return err
	}
	return r.write(staged)
}

// Rotate has the next key encrypt, makes another one that will after it, and removes the oldest beyond Active. Wherever it is
// interrupted, all keys that are needed are there, and it can be done again.
func (r Repository) Rotate() error {
	files, err := r.read()
	if err != nil {
		return err
	}
	if files[len(files)-1].number == staged {
		next := files[0].number + 1
		if err := os.Rename(r.path(staged), r.path(next)); err != nil {
			return err
		}
		files = append([]file{{number: next}}, files[:len(files)-1]...)
	}
	if err := r.write(staged); err != nil {
		return err
	}
	for _, f := range files[min(Active-1, len(files)):] {
		if err := os.Remove(r.path(f.number)); err != nil {
			return err
		}
	}
	return nil
}

// write puts a new key into a file, which is there whole or not at all. It belongs to whom the directory belongs to.
func (r Repository) write(number int) error {
	dir, err := os.Stat(r.Dir)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(r.Dir, ".key-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // does nothing once it is renamed
	_, err = f.WriteString(NewKey().String())
	if owner, ok := dir.Sys().(*syscall.Stat_t); err == nil && ok && os.Geteuid() == 0 {
		err = f.Chown(int(owner.Uid), int(owner.Gid))
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), r.path(number)); err != nil {
		return err
	}
	d, err := os.Open(r.Dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
