package tokens

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"authproxy/certs"
	"authproxy/certs/cms"
)

// ErrNoCertificate says that the signing certificate or its key is not there.
var ErrNoCertificate = errors.New("no signing certificate")

// KeyPair is the signing certificate and its key with the CA certificates that vouch for it, read again when one of the files
// changes: so keys and CAs are rolled over without a restart. The files count together. While they do not fit (the operator has
// put the one in place and not yet the other, or what is there has expired) the last good ones sign and are served: verifiers
// must not be told to forget a certificate that still signs.
type KeyPair struct {
	CertFile string
	KeyFile  string
	// CAFile is the CA that verifiers are told to trust. Where it is "" or missing, nobody checks here what they will say.
	CAFile string
	Now    func() time.Time // time.Now where nil
	Log    *slog.Logger

	mu      sync.Mutex
	good    *loaded // nil before the first that is
	stamps  [3]stamp
	refused time.Time // when what is there now was found bad; zero if it is good
	said    string    // about that
}

// loaded is what the three files held at one time.
type loaded struct {
	pair *certs.SigningPair
	ca   []byte // PEM; nil where there was no file
}

// tryAgain is how long after a refusal the same files are read again: what was wrong may have been their mode, or the time.
const tryAgain = 10 * time.Second

// stamp tells one version of a file from another.
type stamp struct {
	modified time.Time
	size     int64
	inode    fs.FileInfo
}

func (s stamp) same(t stamp) bool {
	if s.inode == nil || t.inode == nil {
		return s.inode == nil && t.inode == nil
	}
	return s.modified.Equal(t.modified) && s.size == t.size && os.SameFile(s.inode, t.inode)
}

// Load returns the pair that signs now. It fails only where there never was a good one; errors wrap ErrNoCertificate where a
// file is missing.
func (k *KeyPair) Load() (*certs.SigningPair, error) {
	l, err := k.load()
	if err != nil {
		return nil, err
	}
	return l.pair, nil
}

func (k *KeyPair) load() (*loaded, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var stamps [3]stamp
	unchanged := k.good != nil
	for i, name := range []string{k.CertFile, k.KeyFile, k.CAFile} {
		if info, err := os.Stat(name); err == nil {
			stamps[i] = stamp{modified: info.ModTime(), size: info.Size(), inode: info}
		}
		unchanged = unchanged && k.stamps[i].same(stamps[i])
	}
	now := k.now()
	if age := now.Sub(k.refused); unchanged && (k.refused.IsZero() || age >= 0 && age < tryAgain) {
		return k.good, nil
	}
	next, err := k.read(now)
	if err != nil && k.good == nil {
		return nil, err
	}
	k.stamps, k.refused = stamps, time.Time{}
	if err != nil {
		k.refused = now
		if k.said != err.Error() {
			k.said = err.Error()
			k.log().Error("signing certificate, key or CA changed and cannot be used: the last good pair goes on signing", slog.Any("error", err))
		}
		return k.good, nil
	}
	k.said = ""
	for _, warning := range next.pair.Warnings {
		k.log().Warn("signing certificate or key", slog.String("warning", warning))
	}
	if k.good != nil {
		k.log().Info("signing certificates changed", slog.String("subject", next.pair.Leaf.Subject.String()),
			slog.String("serial_number", fmt.Sprintf("%#x", next.pair.Leaf.SerialNumber)), slog.Time("not_after", next.pair.Leaf.NotAfter),
			slog.Int("certificates", len(next.pair.Certificates)))
	}
	k.good = next
	return next, nil
}

// read makes one whole of the files, or says why they are none.
func (k *KeyPair) read(now time.Time) (*loaded, error) {
	pair, err := certs.LoadSigner(k.CertFile, k.KeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w (run keystone-manage pki_setup, or set [signing] certfile and keyfile)", ErrNoCertificate, err)
	}
	if err == nil {
		err = noPrivateKey(k.CertFile, pair.Text)
	}
	if err != nil {
		return nil, err
	}
	l := &loaded{pair: pair}
	var ca []*x509.Certificate
	if k.CAFile != "" {
		switch ca, l.ca, err = certs.ReadCertificates(k.CAFile); {
		case errors.Is(err, fs.ErrNotExist) && k.good == nil:
		case err != nil:
			return nil, fmt.Errorf("CA certificate: %w", err)
		}
		if err := noPrivateKey(k.CAFile, l.ca); err != nil {
			return nil, err
		}
	}
	if err := pair.Check(ca, now); err != nil {
		return nil, fmt.Errorf("signing certificate %s: %w", k.CertFile, err)
	}
	return l, nil
}

// Sign makes the CMS message (DER) of content.
func (k *KeyPair) Sign(content []byte) ([]byte, error) {
	pair, err := k.Load()
	if err != nil {
		return nil, err
	}
	return sign(pair, content)
}

func sign(pair *certs.SigningPair, content []byte) ([]byte, error) {
	return cms.Sign(content, pair.Leaf, pair.Key, crypto.SHA256)
}

// Certificates is the certificate file whole, as PEM: it may hold several certificates while keys are rolled over, and text
// before them. Without a pair that can sign it is what the file holds.
func (k *KeyPair) Certificates() ([]byte, error) {
	if l, err := k.load(); err == nil {
		return l.pair.Text, nil
	}
	return readCertificates(k.CertFile)
}

// Authorities is the file of CA certificates, likewise.
func (k *KeyPair) Authorities() ([]byte, error) {
	if l, err := k.load(); err == nil && l.ca != nil {
		return l.ca, nil
	}
	return readCertificates(k.CAFile)
}

// readCertificates reads a file of certificates that is served to everybody. It wraps ErrNoCertificate where there is none.
func readCertificates(name string) ([]byte, error) {
	_, text, err := certs.ReadCertificates(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoCertificate, err)
	}
	if err == nil {
		err = noPrivateKey(name, text)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}

func noPrivateKey(name string, text []byte) error {
	if bytes.Contains(text, []byte("PRIVATE KEY")) {
		return fmt.Errorf("%s holds a private key: it is served to everybody, so it must hold certificates only", name)
	}
	return nil
}

func (k *KeyPair) now() time.Time {
	if k.Now != nil {
		return k.Now()
	}
	return time.Now()
}

func (k *KeyPair) log() *slog.Logger {
	if k.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return k.Log
}
