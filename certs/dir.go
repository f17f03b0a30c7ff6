package certs

import (
	"fmt"
	"os"

	"authproxy/certs/privatedir"
)

// Names of the files in a signing_dir; those that auth_token uses.
const (
	keptSignersFile = "signing_cert.pem"
	keptCAFile      = "cacert.pem"
)

// signingDir is an open signing_dir. Whoever can write there decides who signs tokens (CVE-2013-2030).
type signingDir struct{ dir privatedir.Dir }

// openSigningDir opens the directory and makes it where it does not exist.
func openSigningDir(path string) (*signingDir, error) {
	dir, err := privatedir.Open(path)
	if err != nil {
		return nil, fmt.Errorf("signing_dir: %w", err)
	}
	return &signingDir{dir}, nil
}

// read returns what a file holds; an error that is fs.ErrNotExist without one.
func (d *signingDir) read(name string) ([]byte, error) { return d.dir.Read(name, maxFileSize) }

func (d *signingDir) write(name string, text []byte) error { return d.dir.Write(name, text) }

func (d *signingDir) close() {
	if d != nil {
		d.dir.Close()
	}
}

// readBounded reads a file of certificates or of a key.
func readBounded(f *os.File) ([]byte, error) { return privatedir.ReadBounded(f, maxFileSize) }
