package certs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authproxy/certs"
)

func setupOptions(dir string) certs.SetupOptions {
	return certs.SetupOptions{
		CertFile: filepath.Join(dir, "certs", "signing_cert.pem"), KeyFile: filepath.Join(dir, "private", "signing_key.pem"),
		CACerts: filepath.Join(dir, "certs", "ca.pem"), CAKey: filepath.Join(dir, "private", "cakey.pem"),
		KeyType: certs.KeyECDSA,
	}
}

func TestSetup(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, kind := range []certs.KeyType{"", certs.KeyRSA, certs.KeyECDSA} {
		t.Run("key type "+string(kind), func(t *testing.T) {
			t.Parallel()
			o := setupOptions(t.TempDir())
			o.KeyType, o.ValidDays, o.Now = kind, 30, func() time.Time { return now }
			if err := certs.Setup(o); err != nil {
				t.Fatal(err)
			}
			for path, want := range map[string]fs.FileMode{
				o.CertFile: 0o644, o.CACerts: 0o644, o.KeyFile: 0o600, o.CAKey: 0o600,
				filepath.Dir(o.CertFile): 0o750 | fs.ModeDir, filepath.Dir(o.KeyFile): 0o750 | fs.ModeDir,
			} {
				if info, err := os.Stat(path); err != nil || info.Mode() != want {
					t.Errorf("%s: mode %v, want %v; %v", path, info.Mode(), want, err)
				}
			}
			left, _ := filepath.Glob(filepath.Join(filepath.Dir(o.CertFile), ".*"))
			if len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}

			ca, cert := parse(t, readFile(t, o.CACerts))[0], parse(t, readFile(t, o.CertFile))[0]
			switch {
			case !ca.IsCA || ca.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || ca.MaxPathLen >= 0 && ca.MaxPathLenZero:
				t.Errorf("CA: %v, keyUsage %b, path length %d", ca.IsCA, ca.KeyUsage, ca.MaxPathLen)
			case cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage != x509.KeyUsageDigitalSignature:
				t.Errorf("signing certificate: %v, keyUsage %b", cert.IsCA, cert.KeyUsage)
			case len(ca.SubjectKeyId) == 0 || !bytes.Equal(cert.AuthorityKeyId, ca.SubjectKeyId) || len(cert.SubjectKeyId) == 0 || bytes.Equal(cert.SubjectKeyId, ca.SubjectKeyId):
				t.Errorf("key identifiers: CA %x, certificate %x by %x", ca.SubjectKeyId, cert.SubjectKeyId, cert.AuthorityKeyId)
			case ca.SerialNumber.BitLen() < 64 || cert.SerialNumber.BitLen() < 64 || ca.SerialNumber.Cmp(cert.SerialNumber) == 0:
				t.Errorf("serial numbers %v, %v", ca.SerialNumber, cert.SerialNumber)
			case !cert.NotBefore.Equal(now.Add(-5*time.Minute)) || !cert.NotAfter.Equal(now.AddDate(0, 0, 30)) || !ca.NotAfter.Equal(cert.NotAfter):
				t.Errorf("valid from %v to %v, CA to %v", cert.NotBefore, cert.NotAfter, ca.NotAfter)
			case bytes.Equal(ca.RawSubject, cert.RawSubject):
				t.Error("CA and signing certificate have the same subject")
			case cert.Subject.String() != "CN=www.example.com,O=Unset,L=Unset,ST=Unset,C=US":
				t.Errorf("subject %v", cert.Subject)
			}
			switch pub := cert.PublicKey.(type) {
			case *rsa.PublicKey:
				if kind == certs.KeyECDSA || pub.N.BitLen() != 2048 || cert.SignatureAlgorithm != x509.SHA256WithRSA {
					t.Errorf("RSA key of %d bits, %v", pub.N.BitLen(), cert.SignatureAlgorithm)
				}
			case *ecdsa.PublicKey:
				if kind != certs.KeyECDSA || pub.Curve != elliptic.P256() {
					t.Errorf("ECDSA key on %v", pub.Params().Name)
				}
			}

			pair, err := certs.LoadSigner(o.CertFile, o.KeyFile)
			if err != nil || !pair.Leaf.Equal(cert) || len(pair.Warnings) != 0 {
				t.Errorf("LoadSigner: %v, %+v", err, pair)
			}
			openssl(t, "verify", "-x509_strict", "-attime", "1772700000", "-CAfile", o.CACerts, o.CertFile)
			openssl(t, "pkey", "-in", o.KeyFile, "-noout")
		})
	}
}

func openssl(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SERVICES") == "1" {
			t.Fatal(err)
		}
		t.Skip("no openssl command to compare with")
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Errorf("openssl %v: %v\n%s", args, err, out)
	}
}

func TestSetupDoesNotOverwrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := setupOptions(dir)
	mkdir(t, filepath.Join(dir, "certs"), 0o750)
	writeFile(t, o.CACerts, []byte("mine"))
	if err := os.Symlink("nowhere", o.CertFile); err != nil {
		t.Fatal(err)
	}
	err := certs.Setup(o)
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), o.CACerts) || !strings.Contains(err.Error(), o.CertFile) || strings.Contains(err.Error(), o.CAKey) {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "private")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
	if string(readFile(t, o.CACerts)) != "mine" {
		t.Error("file overwritten")
	}

	o.Rebuild = true
	if err := certs.Setup(o); err != nil {
		t.Fatal(err)
	}
	first := readFile(t, o.CertFile)
	o.Rebuild = false
	if err := certs.Setup(o); !errors.Is(err, fs.ErrExist) || !bytes.Equal(first, readFile(t, o.CertFile)) {
		t.Errorf("second run: %v", err)
	}
	o.Rebuild = true
	if err := certs.Setup(o); err != nil || bytes.Equal(first, readFile(t, o.CertFile)) {
		t.Errorf("rebuild: %v", err)
	}
	if _, err := certs.LoadSigner(o.CertFile, o.KeyFile); err != nil {
		t.Errorf("after the rebuild: %v", err)
	}
}

func TestSetupWritesAllOrNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := setupOptions(dir)
	writeFile(t, filepath.Join(dir, "file"), nil)
	o.CertFile = filepath.Join(dir, "file", "signing_cert.pem") // the last one; it cannot be made
	if err := certs.Setup(o); err == nil {
		t.Fatal("no error")
	}
	o.Rebuild = true
	if err := certs.Setup(o); err == nil {
		t.Fatal("no error with rebuild")
	}
	for _, sub := range []string{"certs", "private"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) || len(entries) != 0 {
			t.Errorf("%s: %v, %v", sub, entries, err)
		}
	}
}

func TestSetupRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*certs.SetupOptions)
		err    string
	}{
		{"key too short", func(o *certs.SetupOptions) { o.KeySize = 1024 }, "key_size 1024 is not a multiple of 8 from 2048 to 8192"},
		{"key too long", func(o *certs.SetupOptions) { o.KeySize = 16384 }, "key_size 16384"},
		{"odd key", func(o *certs.SetupOptions) { o.KeySize = 2050 }, "key_size 2050"},
		{"negative days", func(o *certs.SetupOptions) { o.ValidDays = -1 }, "valid_days -1 is not from 1 to 36500"},
		{"too many days", func(o *certs.SetupOptions) { o.ValidDays = 36501 }, "valid_days 36501"},
		{"key type", func(o *certs.SetupOptions) { o.KeyType = "dsa" }, `key type "dsa" is not one of rsa, ecdsa`},
		{"no certfile", func(o *certs.SetupOptions) { o.CertFile = "" }, "certfile is not set"},
		{"no ca_key", func(o *certs.SetupOptions) { o.CAKey = "" }, "ca_key is not set"},
		{"one file twice", func(o *certs.SetupOptions) { o.CAKey = filepath.Dir(o.KeyFile) + "/./signing_key.pem" }, "keyfile and ca_key are the same file"},
		{"subject", func(o *certs.SetupOptions) { o.Subject = "CN=x" }, "cert_subject: subject \"CN=x\" does not begin with a slash"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			o := setupOptions(dir)
			tt.change(&o)
			if err := certs.Setup(o); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%v, want %q", err, tt.err)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 0 {
				t.Errorf("written: %v", entries)
			}
		})
	}
}

func TestSubject(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 65)
	for _, tt := range []struct{ text, want, err string }{
		{"/CN=x", "CN=x", ""},
		{"/C=US/ST=Unset/L=Unset/O=Unset/CN=www.example.com", "CN=www.example.com,O=Unset,L=Unset,ST=Unset,C=US", ""},
		{"/c=de/o=Käse/organizationalUnitName=a", "OU=a,O=Käse,C=de", ""},
		{`/O=A\/B\\C=D/CN=x`, `CN=x,O=A/B\\C=D`, ""},
		{"/O=A/OU=1/OU=2/CN=x", "CN=x,OU=1+OU=2,O=A", ""},
		{"/DC=org/DC=example/CN=x", "", ""},
		{"/CN=x/emailAddress=keystone@openstack.org", "", ""},
		{"", "CN=www.example.com,O=Unset,L=Unset,ST=Unset,C=US", ""},
		{"CN=x", "", "does not begin with a slash"},
		{"/", "", "not of the form NAME=VALUE"},
		{"/CN=x/", "", "not of the form NAME=VALUE"},
		{"//CN=x", "", "not of the form NAME=VALUE"},
		{"/CN=x//O=y", "", "not of the form NAME=VALUE"},
		{"/CN", "", "not of the form NAME=VALUE"},
		{"/CN=", "", "CN has no value"},
		{"/XX=y", "", `"XX" is not a known attribute`},
		{"/CN=" + long, "", "CN has 65 characters, more than the 64"},
		{"/C=USA", "", "C has 3 characters"},
		{"/C=U1", "", "country code"},
		{"/CN=a\nb", "", "control character"},
		{"/CN=a\x00b", "", "control character"},
		{"/CN=\xff", "", "not UTF-8"},
		{`/CN=x\`, "", "lone backslash"},
		{"/emailAddress=ä@example.com", "", "ASCII only"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			t.Parallel()
			o := setupOptions(t.TempDir())
			o.Subject = tt.text
			err := certs.Setup(o)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), "cert_subject") {
					t.Errorf("%v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			cert, ca := parse(t, readFile(t, o.CertFile))[0], parse(t, readFile(t, o.CACerts))[0]
			if got := cert.Subject.String(); tt.want != "" && got != tt.want {
				t.Errorf("subject %q, want %q", got, tt.want)
			}
			if n := len(ca.Subject.Names); n != len(cert.Subject.Names)+1 || ca.Subject.Names[n-1].Value != "Certificate Authority" {
				t.Errorf("CA %v", ca.Subject)
			}
			openssl(t, "verify", "-no_check_time", "-CAfile", o.CACerts, o.CertFile)
		})
	}
}

func TestSubjectStringTypes(t *testing.T) {
	t.Parallel()
	o := setupOptions(t.TempDir())
	o.Subject = "/C=US/O=Käse/emailAddress=a@b/CN=x"
	if err := certs.Setup(o); err != nil {
		t.Fatal(err)
	}
	var name []asn1.RawValue
	if _, err := asn1.Unmarshal(parse(t, readFile(t, o.CertFile))[0].RawSubject, &name); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{asn1.TagPrintableString, asn1.TagUTF8String, asn1.TagIA5String, asn1.TagPrintableString} {
		var pair struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue
		}
		if _, err := asn1.Unmarshal(name[i].Bytes, &pair); err != nil || pair.Value.Tag != want {
			t.Errorf("%v: string type %d, want %d; %v", pair.Type, pair.Value.Tag, want, err)
		}
	}
}
