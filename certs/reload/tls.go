package reload

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// TLS is the server side of a TLS listener whose certificate, key and client CAs come from PEM files.
type TLS struct {
	CertFile, KeyFile string
	// ClientCAFile, if it is not "", lets clients present certificates of these CAs. They need not present any; one that does
	// not verify ends the handshake.
	ClientCAFile string
	// RequireClientCert ends the handshake of clients that present none.
	RequireClientCert bool
	// HTTP2 offers it to clients, beside HTTP/1.1.
	HTTP2 bool

	config atomic.Pointer[tls.Config]
	leaf   atomic.Pointer[x509.Certificate]
}

// Files are what a change of takes a Load.
func (t *TLS) Files() []string {
	files := []string{t.CertFile, t.KeyFile}
	if t.ClientCAFile != "" {
		files = append(files, t.ClientCAFile)
	}
	return files
}

// Load reads the files. If anything is wrong with them, what was loaded before stays.
func (t *TLS) Load() error {
	if info, err := os.Stat(t.KeyFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("%s can be read or changed by every user (mode %#o): chmod 600 %s", t.KeyFile, info.Mode().Perm(), t.KeyFile)
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", t.CertFile, t.KeyFile, err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"http/1.1"},
	}
	if t.HTTP2 {
		config.NextProtos = []string{"h2", "http/1.1"}
	}
	if t.ClientCAFile != "" {
		if config.ClientCAs, err = readPool(t.ClientCAFile); err != nil {
			return err
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
		if t.RequireClientCert {
			config.ClientAuth = tls.RequireAndVerifyClientCert
		}
		// crypto/tls resumes a session only if the client's chain still ends in these CAs.
	}
	t.leaf.Store(pair.Leaf)
	t.config.Store(config)
	return nil
}

// Config is for a listener. Each connection gets what was loaded last; Load must have succeeded once.
func (t *TLS) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.config.Load(), nil },
	}
}

// NotAfter is when the certificate in use expires.
func (t *TLS) NotAfter() time.Time { return t.leaf.Load().NotAfter }

func readPool(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: %w", path, errNoCertificate)
	}
	return pool, nil
}

var errNoCertificate = errors.New("no certificate as PEM in it")
