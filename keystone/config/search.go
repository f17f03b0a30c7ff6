package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// FindKeystoneConf is the keystone.conf that counts when no --config-file is given: the first of ~/.keystone/, ~/,
// /etc/keystone/ and /etc/ that has one, "" where none has. home is the user's home directory, "" to leave it out; root is put
// in front of /etc ("" for the real one).
//
// A file that is there but cannot be looked at is an error: going on to the next place would start with another configuration.
func FindKeystoneConf(home, root string) (string, error) {
	return findIn(usualDirs(home, root), "keystone.conf")
}

// FindBeside is the path of a file or directory that a configuration names: name itself where it is absolute, else the first
// that is there of those beside the configuration files (the last of which wins) and, unless near is set, in the places of
// FindKeystoneConf; "" where none is.
func FindBeside(files []string, name, home, root string, near bool) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	var dirs []string
	for _, f := range slices.Backward(files) {
		dirs = append(dirs, filepath.Dir(f))
	}
	if !near {
		dirs = append(dirs, usualDirs(home, root)...)
	}
	return findIn(dirs, name)
}

func usualDirs(home, root string) (dirs []string) {
	if home != "" {
		dirs = append(dirs, filepath.Join(home, ".keystone"), home)
	}
	return append(dirs, filepath.Join(root, "/etc/keystone"), filepath.Join(root, "/etc"))
}

func findIn(dirs []string, name string) (string, error) {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		switch _, err := os.Stat(path); {
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
	}
	return "", nil
}
