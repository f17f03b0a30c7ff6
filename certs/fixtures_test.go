package certs_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"authproxy/certs"
	"authproxy/certs/cms"
)

// family is one set of OpenStack's sample certificates and tokens.
type family struct {
	dir         string
	signing, ca []*x509.Certificate
}

func families(t *testing.T) (sha1, sha256 family) {
	t.Helper()
	load := func(name string) family {
		dir := shared(t, "fixtures", "openstack", name)
		return family{
			dir:     dir,
			signing: parse(t, readFile(t, filepath.Join(dir, "certs", "signing_cert.pem"))),
			ca:      parse(t, readFile(t, filepath.Join(dir, "certs", "cacert.pem"))),
		}
	}
	return load("ksm-1.5.3"), load("ksc-5.8.0")
}

// messages returns the signed tokens and lists of a family.
func (f family) messages(t *testing.T) map[string]*cms.SignedData {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(f.dir, "cms", "*.pem"))
	if err != nil || len(paths) < 5 {
		t.Fatalf("%d messages, %v", len(paths), err)
	}
	out := map[string]*cms.SignedData{}
	for _, path := range paths {
		der, err := cms.DecodePEM(readFile(t, path))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		sd, err := cms.Parse(der)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out[filepath.Base(path)] = &sd
	}
	return out
}

var fixtureTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestOpenStackDefaultPolicy(t *testing.T) {
	t.Parallel()
	old, current := families(t)
	if _, err := certs.NewBundle(old.signing, old.ca, certs.Policy{}, fixtureTime); !errors.Is(err, certs.ErrAlgorithm) {
		t.Errorf("SHA-1 family: error %v, want ErrAlgorithm", err)
	}
	b, err := certs.NewBundle(current.signing, current.ca, certs.Policy{}, fixtureTime)
	if err != nil {
		t.Fatalf("SHA-256 family: %v", err)
	}
	for name, sd := range current.messages(t) {
		if _, err := b.Verify(sd, fixtureTime); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenStackBothFamilies(t *testing.T) {
	t.Parallel()
	old, current := families(t)
	// Issuer and serial number are the same to the eye. In DER the names differ in their string types, PrintableString then
	// and UTF8String later, and messages repeat the very bytes.
	a, b := old.signing[0], current.signing[0]
	if a.Issuer.String() != b.Issuer.String() || a.SerialNumber.Cmp(b.SerialNumber) != 0 || bytes.Equal(a.RawIssuer, b.RawIssuer) {
		t.Fatal("the families are not alike in the way that this test is about")
	}
	p := certs.Policy{InsecureAllowSHA1: true}
	for _, order := range [][2]family{{old, current}, {current, old}} {
		b, err := certs.NewBundle(slices.Concat(order[0].signing, order[1].signing), slices.Concat(order[0].ca, order[1].ca), p, fixtureTime)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range order {
			for name, sd := range f.messages(t) {
				s, err := b.Verify(sd, fixtureTime)
				if err != nil || !s.Certificate.Equal(f.signing[0]) {
					t.Errorf("%s %s: %v", f.dir, name, err)
				}
			}
		}
	}

	// One family alone knows nothing of the other, whatever the policy.
	for _, pair := range [][2]family{{old, current}, {current, old}} {
		b, err := certs.NewBundle(pair[0].signing, pair[0].ca, p, fixtureTime)
		if err != nil {
			t.Fatal(err)
		}
		for name, sd := range pair[1].messages(t) {
			if _, err := b.Verify(sd, fixtureTime); !errors.Is(err, certs.ErrUnknownSigner) {
				t.Errorf("%s: %v, want ErrUnknownSigner", name, err)
			}
		}
		if _, err := certs.NewBundle(pair[0].signing, pair[1].ca, p, fixtureTime); err == nil {
			t.Error("a signer counts with the CA of the other family")
		}
	}
}
