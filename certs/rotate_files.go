package certs

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// record is what the files cannot say by themselves: until when tokens by a key that has stopped signing may be in use.
type record struct {
	Key         string    `json:"key"` // keyID
	TokensUntil time.Time `json:"tokens_until"`
}

func (r *Rotation) recordFile() string { return r.KeyFile + ".rotation" }

// readRecord reads the record. Without a good one nothing is known, which makes Finish careful.
func (r *Rotation) readRecord() record {
	var rec record
	text, err := readFile(r.recordFile())
	if err != nil || json.Unmarshal(text, &rec) != nil {
		return record{}
	}
	return rec
}

// writeRecord writes the record, unless there is one for the same key that reaches further.
func (r *Rotation) writeRecord(rec record) error {
	if have := r.readRecord(); have.Key == rec.Key && have.TokensUntil.After(rec.TokensUntil) {
		return nil
	}
	rec.TokensUntil = rec.TokensUntil.UTC().Truncate(time.Second).Add(time.Second)
	text, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return r.write(r.recordFile(), append(text, '\n'), r.KeyFile, 0o640, 0o600)
}

// keyID names a public key.
func keyID(pub crypto.PublicKey) string {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "" // keyProblem has refused such a key
	}
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:])
}

// authority is a CA certificate with its key.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// authority is the CA whose key is at hand; nil if none is.
func (r *Rotation) authority(ca []*x509.Certificate) (*authority, error) {
	if r.CAKey == "" {
		return nil, nil
	}
	var p SigningPair
	switch err := p.readKey(r.CAKey); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("CA key: %w", err)
	}
	var best *x509.Certificate
	for _, c := range ca {
		if sameKey(c.PublicKey, p.Key.Public()) && (best == nil || c.NotAfter.After(best.NotAfter)) {
			best = c
		}
	}
	if best == nil {
		return nil, fmt.Errorf("no certificate in %s goes with the CA key %s", r.CACerts, r.CAKey)
	}
	return &authority{best, p.Key}, nil
}

// issue makes a signing certificate. It does not outlive the CA's.
func (a *authority) issue(subject string, pub crypto.PublicKey, now time.Time, days int) (*x509.Certificate, error) {
	name, err := parseSubject(subject)
	if err != nil {
		return nil, fmt.Errorf("cert_subject: %w", err)
	}
	template, err := newTemplate(name, now, days)
	if err != nil {
		return nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	return sign(template, pub, a.cert, a.key)
}

// resolve follows symbolic links, so that what they point to is replaced and not they.
func (r *Rotation) resolve() (*Rotation, error) {
	resolved := *r
	for _, path := range []*string{&resolved.CertFile, &resolved.KeyFile} {
		to, err := filepath.EvalSymlinks(*path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w (there is nothing to rotate: see pki_setup and csr)", *path, err)
		}
		*path = to
	}
	return &resolved, nil
}

// lock keeps other rotations of the same key out.
func (r *Rotation) lock() (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(r.KeyFile))
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		dir.Close()
		return nil, fmt.Errorf("another rotation is at work in %s", filepath.Dir(r.KeyFile))
	}
	// A file system without locks is one more reason to run one rotation at a time, not to run none.
	return func() {
		// Not by closing alone: a child process between fork and exec, of anything else this process does, holds the directory too.
		_ = syscall.Flock(int(dir.Fd()), syscall.LOCK_UN)
		dir.Close()
	}, nil
}

// sweep removes what a rotation that was killed while it wrote has left: files that are not yet in their place.
func (r *Rotation) sweep() error {
	for _, path := range []string{r.KeyFile, r.nextKey(), r.oldKey(), r.recordFile(), r.CertFile, r.nextCert(), r.csr()} {
		dir, base := filepath.Split(path)
		entries, err := os.ReadDir(filepath.Clean(dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if suffix, ok := strings.CutPrefix(e.Name(), "."+base+"."); ok && len(suffix) == 26 && !strings.Contains(suffix, ".") {
				if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (r *Rotation) do(what, path string) error {
	if r.before == nil {
		return nil
	}
	return r.before(what, path)
}

// write puts a file in place as a whole. It belongs to whom like belongs to; its mode is that of like as far as mask allows, or
// least where that has more.
func (r *Rotation) write(path string, text []byte, like string, mask, least fs.FileMode) error {
	if have, err := readFile(path); err == nil && bytes.Equal(have, text) {
		return nil
	}
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	mode := info.Mode().Perm() & mask
	if path != like {
		mode |= least
	}
	if err := r.do("stage", path); err != nil {
		return err
	}
	s, err := stage(path, text, mode, info)
	if err != nil {
		return err
	}
	if err := r.do("place", path); err != nil {
		return err
	}
	if err := putInPlace([]staged{s}, true); err != nil {
		os.Remove(s.temporary)
		return err
	}
	return nil
}

// copyKey copies a key file.
func (r *Rotation) copyKey(from, to string) error {
	text, err := readFile(from)
	if err != nil {
		return err
	}
	return r.write(to, text, r.KeyFile, 0o640, 0o600)
}

func (r *Rotation) rename(from, to string) error {
	if err := r.do("rename", to); err != nil {
		return err
	}
	return putInPlace([]staged{{from, to}}, true)
}

// removeAll removes files in that order. The key files, by which a rotation is known to be under way, go last.
func (r *Rotation) removeAll(paths ...string) error {
	for _, path := range paths {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := r.do("remove", path); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	for _, dir := range slices.Compact([]string{filepath.Dir(r.KeyFile), filepath.Dir(r.CertFile)}) {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rotation) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}
