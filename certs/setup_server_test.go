package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func serverOptions(dir string) SetupOptions {
	return SetupOptions{CertFile: filepath.Join(dir, "certs", "keystone.pem"), KeyFile: filepath.Join(dir, "private", "keystonekey.pem"),
		CACerts: filepath.Join(dir, "certs", "ca.pem"), CAKey: filepath.Join(dir, "private", "cakey.pem"), KeyType: KeyECDSA}
}

// TestSetupServer: what is made is what a client accepts for the name in the subject, and for no other.
func TestSetupServer(t *testing.T) {
	for subject, host := range map[string]string{"": "localhost", "/CN=keystone.example.org": "keystone.example.org", "/CN=192.0.2.1": "192.0.2.1", "/CN=::1": "::1"} {
		o := serverOptions(t.TempDir())
		o.Subject = subject
		if err := SetupServer(o); err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		ca, _, err := ReadCertificates(o.CACerts)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca[0])
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s: %v", subject, err)
		}
		if pair.Leaf.IsCA || pair.Leaf.VerifyHostname("other.example.org") == nil {
			t.Errorf("%s: %+v", subject, pair.Leaf)
		}
		if info, err := os.Stat(o.KeyFile); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("key: %v %v", info, err)
		}
	}
}

func TestSetupServerKeepsWhatIsThere(t *testing.T) {
	o := serverOptions(t.TempDir())
	signing := o
	signing.CertFile, signing.KeyFile = strings.Replace(o.CertFile, "keystone", "signing", 1), strings.Replace(o.KeyFile, "keystone", "signing", 1)
	if err := Setup(signing); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(o.CACerts)
	if err != nil {
		t.Fatal(err)
	}
	if err := SetupServer(o); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(o.CACerts); err != nil || string(after) != string(before) {
		t.Errorf("the CA was replaced: %v", err)
	}
	cert, _, err := ReadCertificates(o.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	ca, _, err := ReadCertificates(o.CACerts)
	if err != nil || cert[0].CheckSignatureFrom(ca[0]) != nil {
		t.Errorf("not of the CA that was there: %v", err)
	}
	if err := SetupServer(o); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "use rebuild") {
		t.Errorf("again: %v", err)
	}
	o.Rebuild = true
	if err := SetupServer(o); err != nil {
		t.Error(err)
	}
	if after, err := os.ReadFile(o.CACerts); err != nil || string(after) == string(before) {
		t.Errorf("rebuild kept the CA: %v", err)
	}
	if err := os.Remove(o.CAKey); err != nil {
		t.Fatal(err)
	}
	o.Rebuild, o.CertFile, o.KeyFile = false, o.CertFile+"2", o.KeyFile+"2"
	if err := SetupServer(o); err == nil || !strings.Contains(err.Error(), "CA that is there") {
		t.Errorf("without the CA's key: %v", err)
	}
}
