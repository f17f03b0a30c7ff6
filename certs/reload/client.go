package reload

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// ClientTLS is the client side of TLS connections, whose CAs, certificate and key come from PEM files.
type ClientTLS struct {
	// CAFile holds the CAs that may sign the server's certificate; "" stands for the system's.
	CAFile string
	// CertFile and KeyFile are what is shown to a server that asks for a certificate; "" shows none. Where KeyFile is "", CertFile
	// holds the key too.
	CertFile, KeyFile string

	config atomic.Pointer[tls.Config]
}

// Files are what a change of takes a Load.
func (t *ClientTLS) Files() (files []string) {
	for _, file := range []string{t.CAFile, t.CertFile, t.KeyFile} {
		if file != "" {
			files = append(files, file)
		}
	}
	return files
}

// Load reads the files. If anything is wrong with them, what was loaded before stays.
func (t *ClientTLS) Load() error {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if t.CAFile != "" {
		if config.RootCAs, err = readPool(t.CAFile); err != nil {
			return err
		}
	}
	switch {
	case t.CertFile == "" && t.KeyFile != "":
		return errors.New("a key has no certificate to go with")
	case t.CertFile != "":
		key := t.KeyFile
		if key == "" {
			key = t.CertFile
		}
		if info, err := os.Stat(key); err == nil && info.Mode().Perm()&0o007 != 0 {
			return fmt.Errorf("%s can be read or changed by every user (mode %#o): chmod 600 %s", key, info.Mode().Perm(), key)
		}
		pair, err := tls.LoadX509KeyPair(t.CertFile, key)
		if err != nil {
			return fmt.Errorf("certificate %s with key %s: %w", t.CertFile, key, err)
		}
		// By callback, so that it is shown whichever CAs the server names: a refusal then has its reason in the server's log.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	t.config.Store(config)
	return nil
}

// Config is what was loaded last, not to be changed. Load must have succeeded once.
func (t *ClientTLS) Config() *tls.Config { return t.config.Load() }
