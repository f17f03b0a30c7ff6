package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// FindKeystoneConf is the keystone.conf that counts when no --config-file is given: the first of ~/.keystone/, ~/,
// /etc/keystone/ and /etc/ that has one, "" where none has. home is the user's home directory, "" to leave it out; root is put
// in front of /etc ("" for the real one).
//
// A file that is there but cannot be looked at is an error: going on to the next place would start with another configuration.
func FindKeystoneConf(home, root string) (string, error) {
	var dirs []string
	if home != "" {
		dirs = append(dirs, filepath.Join(home, ".keystone"), home)
	}
	dirs = append(dirs, filepath.Join(root, "/etc/keystone"), filepath.Join(root, "/etc"))
	for _, dir := range dirs {
		path := filepath.Join(dir, "keystone.conf")
		switch _, err := os.Stat(path); {
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
	}
	return "", nil
}
