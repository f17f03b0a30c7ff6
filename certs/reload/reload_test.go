package reload

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"authproxy/certs/certstest"
)

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestWatcherDirectory: a file that comes, goes or changes in a directory is a change.
func TestWatcherDirectory(t *testing.T) {
	dir := t.TempDir()
	loads := 0
	w := &Watcher{Files: []string{dir}, Load: func() error { loads++; return nil }}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	a := filepath.Join(dir, "a")
	for i, change := range []func() error{
		func() error { return os.WriteFile(a, []byte("1"), 0o600) },
		func() error { return os.WriteFile(a, []byte("2"), 0o600) },
		func() error { return os.Rename(a, filepath.Join(dir, "b")) },
		func() error { return os.WriteFile(a, nil, 0o600) },
		func() error { return os.Remove(a) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		w.Look()
		w.Look()
		if loads != i+2 {
			t.Errorf("change %d: %d loads", i, loads)
		}
	}
}

// TestWatcher: loaded once for each change, good or not, and nothing is loaded in between.
func TestWatcher(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, a, []byte("1"))
	synctest.Test(t, func(t *testing.T) {
		var loads []string
		w := &Watcher{Files: []string{a, b}, Interval: time.Second, Load: func() error {
			content, err := os.ReadFile(a)
			loads = append(loads, string(content))
			if string(content) == "bad" {
				return errors.New("bad content")
			}
			return err
		}}
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.Run(ctx) }()
		check := func(want, lastError string, age time.Duration) {
			t.Helper()
			time.Sleep(2 * time.Second) // on the bubble's clock
			synctest.Wait()
			if got := strings.Join(loads, " "); got != want {
				t.Errorf("loads %q, want %q", got, want)
			}
			if s := w.Status(); s.LastError != lastError || s.LoadedAt.Sub(started) != age {
				t.Errorf("%+v, loaded after %v; want %q and %v", s, s.LoadedAt.Sub(started), lastError, age)
			}
		}
		check("1", "", 0)
		write(t, a, []byte("2"))
		check("1 2", "", 3*time.Second)
		write(t, a, []byte("bad"))
		check("1 2 bad", "bad content", 3*time.Second)
		write(t, b, nil) // a file that was not there
		check("1 2 bad bad", "bad content", 3*time.Second)
		write(t, a, []byte("2")) // back again
		check("1 2 bad bad 2", "", 9*time.Second)
		if err := os.Remove(a); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := w.Status(); !strings.Contains(s.LastError, "no such file") {
			t.Errorf("%+v", s)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestFirstLoadFails(t *testing.T) {
	bad := errors.New("bad")
	if err := (&Watcher{Load: func() error { return bad }}).Start(); !errors.Is(err, bad) {
		t.Error(err)
	}
}

// pki is a CA with a listener's files.
type pki struct {
	ca               *certstest.CA
	cert, key, roots string
}

func newPKI(t *testing.T) *pki {
	dir := t.TempDir()
	p := &pki{ca: certstest.New(t), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), roots: filepath.Join(dir, "clients.pem")}
	p.renew(t, 1)
	write(t, p.roots, p.ca.CertPEM())
	return p
}

func (p *pki) renew(t *testing.T, serial int64) {
	s := p.ca.Issue(t, certstest.ECDSAP256, certstest.Serial(serial), certstest.Template(func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"proxy"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}))
	write(t, p.cert, s.CertPEM)
	write(t, p.key, s.KeyPEM)
}

func client(t *testing.T, ca *certstest.CA) *tls.Certificate {
	s := ca.Issue(t, certstest.ECDSAP256, certstest.Template(func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}))
	return &tls.Certificate{Certificate: [][]byte{s.Cert.Raw}, PrivateKey: s.Key}
}

// shake makes one connection to a listener with config, and gives both ends' states and errors.
func (p *pki) shake(t *testing.T, server *tls.Config, change func(*tls.Config)) (clientState, serverState tls.ConnectionState, err error) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(p.ca.Cert)
	config := &tls.Config{RootCAs: pool, ServerName: "proxy"}
	if change != nil {
		change(config)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	result := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			result <- err
			return
		}
		defer c.Close()
		s := tls.Server(c, server)
		err = s.Handshake()
		serverState = s.ConnectionState()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		result <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := tls.Client(c, config)
	err = s.Handshake()
	if err == nil {
		_, err = s.Read(make([]byte, 1)) // session tickets and late alerts come before
	}
	clientState = s.ConnectionState()
	c.Close()
	return clientState, serverState, errors.Join(err, <-result)
}

func TestTLS(t *testing.T) {
	p := newPKI(t)
	l := &TLS{CertFile: p.cert, KeyFile: p.key, ClientCAFile: p.roots}
	if err := l.Load(); err != nil {
		t.Fatal(err)
	}
	config := l.Config() // the same for all that follows
	serial := func() int64 {
		t.Helper()
		state, _, err := p.shake(t, config, nil)
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].SerialNumber.Int64()
	}
	if n := serial(); n != 1 {
		t.Errorf("serial number %d", n)
	}
	p.renew(t, 2)
	if err := l.Load(); err != nil {
		t.Fatal(err)
	}
	if n := serial(); n != 2 {
		t.Errorf("after renewal: serial number %d", n)
	}

	// Half of a renewal: the certificate is there, its key not yet.
	old, err := os.ReadFile(p.key)
	if err != nil {
		t.Fatal(err)
	}
	p.renew(t, 3)
	renewed, err := os.ReadFile(p.key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.key, old)
	if err := l.Load(); err == nil {
		t.Error("a key that does not fit was taken")
	}
	if n := serial(); n != 2 {
		t.Errorf("the last good one did not stay: serial number %d", n)
	}
	write(t, p.key, renewed)
	if err := l.Load(); err != nil {
		t.Fatal(err)
	}
	if n := serial(); n != 3 {
		t.Errorf("after the other half: serial number %d", n)
	}

	if _, _, err := p.shake(t, config, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11; c.MinVersion = tls.VersionTLS10 }); err == nil {
		t.Error("TLS 1.1 was taken")
	}
	if _, _, err := p.shake(t, config, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }); err != nil {
		t.Errorf("TLS 1.2: %v", err)
	}
}

func TestClientCertificates(t *testing.T) {
	p, stranger := newPKI(t), certstest.New(t)
	l := &TLS{CertFile: p.cert, KeyFile: p.key, ClientCAFile: p.roots}
	if err := l.Load(); err != nil {
		t.Fatal(err)
	}
	config := l.Config()
	// GetClientCertificate presents it also where the listener does not name its CA.
	with := func(c *tls.Certificate) func(*tls.Config) {
		return func(config *tls.Config) {
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c, nil }
		}
	}
	ours := client(t, p.ca)
	if _, state, err := p.shake(t, config, with(ours)); err != nil || len(state.VerifiedChains) != 1 {
		t.Errorf("ours: %v, %d chains", err, len(state.VerifiedChains))
	}
	if _, state, err := p.shake(t, config, nil); err != nil || len(state.PeerCertificates) != 0 {
		t.Errorf("none: %v", err)
	}
	if _, _, err := p.shake(t, config, with(client(t, stranger))); err == nil {
		t.Error("a certificate of an unknown CA was taken")
	}
	server := p.ca.Issue(t, certstest.ECDSAP256, certstest.Template(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }))
	if _, _, err := p.shake(t, config, with(&tls.Certificate{Certificate: [][]byte{server.Cert.Raw}, PrivateKey: server.Key})); err == nil {
		t.Error("a server's certificate was taken for a client's")
	}

	// A CA that leaves takes its clients along, sessions that could be resumed too.
	sessions := map[uint16]tls.ClientSessionCache{tls.VersionTLS12: tls.NewLRUClientSessionCache(1), tls.VersionTLS13: tls.NewLRUClientSessionCache(1)}
	resuming := func(version uint16) func(*tls.Config) {
		return func(config *tls.Config) {
			with(ours)(config)
			config.ClientSessionCache, config.MaxVersion = sessions[version], version
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, again := range []bool{false, true} {
			_, state, err := p.shake(t, config, resuming(version))
			if err != nil || state.DidResume != again || len(state.VerifiedChains) != 1 {
				t.Fatalf("TLS %x: resumed %v, want %v: %v", version, state.DidResume, again, err)
			}
		}
	}
	write(t, p.roots, stranger.CertPEM())
	if err := l.Load(); err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if _, state, err := p.shake(t, config, resuming(version)); err == nil {
			t.Errorf("TLS %x: a client of the CA that left got in, resumed: %v", version, state.DidResume)
		}
	}

	l = &TLS{CertFile: p.cert, KeyFile: p.key}
	if err := l.Load(); err != nil {
		t.Fatal(err)
	}
	if _, state, err := p.shake(t, l.Config(), with(ours)); err != nil || len(state.PeerCertificates) != 0 {
		t.Errorf("without client CAs a certificate was asked for: %v", err)
	}
}

func TestWrongFiles(t *testing.T) {
	p := newPKI(t)
	open := filepath.Join(t.TempDir(), "open.pem")
	key, err := os.ReadFile(p.key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(open, key, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		tls  *TLS
		want string
	}{
		"no certificate":    {&TLS{CertFile: "nothing.pem", KeyFile: p.key}, "open nothing.pem: no such file"},
		"no key":            {&TLS{CertFile: p.cert, KeyFile: "nothing.pem"}, "open nothing.pem: no such file"},
		"key open to all":   {&TLS{CertFile: p.cert, KeyFile: open}, "chmod 600 " + open},
		"exchanged":         {&TLS{CertFile: p.key, KeyFile: p.cert}, "certificate "},
		"no client CA file": {&TLS{CertFile: p.cert, KeyFile: p.key, ClientCAFile: "nothing.pem"}, "open nothing.pem: no such file"},
		"client CA no PEM":  {&TLS{CertFile: p.cert, KeyFile: p.key, ClientCAFile: p.key}, "no certificate as PEM"},
	} {
		if err := tt.tls.Load(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, tt.want)
		}
	}
}
