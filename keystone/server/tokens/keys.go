package tokens

import (
	"bytes"
	"crypto"
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

// KeyPair is the signing certificate and its key, read again when one of the files changes: so keys are rolled over without a
// restart. While the files do not fit (the operator has put the one in place and not yet the other) the last good pair signs.
type KeyPair struct {
	CertFile string
	KeyFile  string
	Log      *slog.Logger

	mu     sync.Mutex
	pair   *certs.SigningPair
	stamps [2]stamp // of the files that were read last
}

// stamp tells one version of a file from another.
type stamp struct {
	modified time.Time
	size     int64
	inode    fs.FileInfo
}

func (s stamp) same(t stamp) bool {
	return s.inode != nil && t.inode != nil && s.modified.Equal(t.modified) && s.size == t.size && os.SameFile(s.inode, t.inode)
}

// Load returns the pair that signs now. It fails only where there never was one; errors wrap ErrNoCertificate where a file is
// missing.
func (k *KeyPair) Load() (*certs.SigningPair, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var stamps [2]stamp
	for i, name := range []string{k.CertFile, k.KeyFile} {
		info, err := os.Stat(name)
		switch {
		case err == nil:
			stamps[i] = stamp{modified: info.ModTime(), size: info.Size(), inode: info}
		case k.pair != nil: // keep signing
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%w: %w (run keystone-manage pki_setup, or set [signing] certfile and keyfile)", ErrNoCertificate, err)
		default:
			return nil, fmt.Errorf("signing certificate: %w", err)
		}
	}
	if k.pair != nil && k.stamps[0].same(stamps[0]) && k.stamps[1].same(stamps[1]) {
		return k.pair, nil
	}
	pair, err := certs.LoadSigner(k.CertFile, k.KeyFile)
	if err != nil && k.pair == nil {
		return nil, fmt.Errorf("signing certificate: %w", err)
	}
	k.stamps = stamps
	if err != nil {
		k.log().Error("signing certificate or key changed and cannot be used: the last good pair goes on signing", slog.Any("error", err))
		return k.pair, nil
	}
	for _, warning := range pair.Warnings {
		k.log().Warn("signing certificate or key", slog.String("warning", warning))
	}
	if k.pair != nil {
		k.log().Info("signing certificate changed", slog.String("subject", pair.Leaf.Subject.String()),
			slog.Time("not_after", pair.Leaf.NotAfter))
	}
	k.pair = pair
	return pair, nil
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

// Certificates reads the certificate file whole: it may hold several certificates while keys are rolled over, and text before them.
func (k *KeyPair) Certificates() ([]byte, error) { return ReadCertificates(k.CertFile) }

// ReadCertificates reads a file of certificates that is served to everybody. It refuses one that holds a private key, and wraps
// ErrNoCertificate where there is no such file.
func ReadCertificates(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", ErrNoCertificate, err)
	case err != nil:
		return nil, err
	case bytes.Contains(text, []byte("PRIVATE KEY")):
		return nil, fmt.Errorf("%s holds a private key: it is served to everybody, so it must hold certificates only", name)
	}
	return text, nil
}

func (k *KeyPair) log() *slog.Logger {
	if k.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return k.Log
}
