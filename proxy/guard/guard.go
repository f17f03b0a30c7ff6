// Package guard keeps the secret by which an upstream knows that a request came through the proxy.
package guard

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"authproxy/proxy/headers"
)

// DefaultHeader carries the secret unless an operator says otherwise.
const DefaultHeader = "X-Authproxy-Guard"

// least is the length of a secret in characters: 16 bytes as hex have 32.
const least = 24

// File is a file of secrets, one in each line. The first is sent; upstreams take any, so that a secret can be changed: add the new
// one in the second line everywhere, then make it the first, then take the old one out. Empty lines and those that begin with
// "#" do not count. Load must have succeeded once.
type File struct {
	Path   string
	secret atomic.Pointer[string]
}

// Load reads the file. If anything is wrong with it, the secret stays that was loaded before. No error shows a secret.
func (f *File) Load() error {
	info, err := os.Stat(f.Path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("%s can be read or changed by every user (mode %#o): chmod 640 %s", f.Path, info.Mode().Perm(), f.Path)
	}
	text, err := os.ReadFile(f.Path)
	if err != nil {
		return err
	}
	first, number := "", 0
	for line := range bytes.Lines(text) {
		number++
		secret := strings.TrimSpace(string(line))
		if secret == "" || secret[0] == '#' {
			continue
		}
		if err := check(secret); err != nil {
			return fmt.Errorf("%s, line %d: %w", f.Path, number, err)
		}
		if first == "" {
			first = secret
		}
	}
	if first == "" {
		return fmt.Errorf("%s holds no secret; write one, as openssl rand -hex 32 prints it", f.Path)
	}
	f.secret.Store(&first)
	return nil
}

func check(secret string) error {
	if len(secret) < least {
		return fmt.Errorf("the secret has less than %d characters; take one that openssl rand -hex 32 prints", least)
	}
	for i := range len(secret) {
		if c := secret[i]; c <= ' ' || c >= 0x7f || c == ',' || c == '"' || c == '\\' {
			return errors.New("the secret must be ASCII without blanks, commas, quotes and backslashes; take one that openssl rand -hex 32 prints")
		}
	}
	return nil
}

// Secret is the one to send.
func (f *File) Secret() string { return *f.secret.Load() }

// ParseHeader reads the name of the header for the secret. Those that have a meaning for services are refused.
func ParseHeader(text string) (string, error) {
	name, err := headers.ParseName(text)
	if err != nil {
		return "", err
	}
	if headers.Reserved(name) && !strings.HasPrefix(name, "X-Authproxy-") {
		return "", fmt.Errorf("%q: services would take this header for a part of the identity", text)
	}
	return name, nil
}
