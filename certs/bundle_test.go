package certs_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"authproxy/certs"
	"authproxy/certs/certstest"
	"authproxy/certs/cms"
)

var (
	year2020 = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	year2025 = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	year2030 = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
)

func list(cs ...*x509.Certificate) []*x509.Certificate { return cs }

func extension(oid asn1.ObjectIdentifier, critical bool) certstest.Option {
	return certstest.Template(func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: []byte{5, 0}})
	})
}

func keyUsage(u x509.KeyUsage) certstest.Option {
	return certstest.Template(func(c *x509.Certificate) { c.KeyUsage = u })
}

func extendedKeyUsage(u ...x509.ExtKeyUsage) certstest.Option {
	return certstest.Template(func(c *x509.Certificate) { c.ExtKeyUsage = u })
}

func pathLength(n int) certstest.Option {
	return certstest.Template(func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = n, n == 0 })
}

func TestChain(t *testing.T) {
	t.Parallel()
	private := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
	sha1, weak := certs.Policy{InsecureAllowSHA1: true}, certs.Policy{InsecureAllowWeakRSA: true}
	ca, rsaCA := certstest.New(t), certstest.New(t, certstest.WithKind(certstest.RSA))
	middle := ca.Intermediate(t)
	deep := middle.Intermediate(t, certstest.Subject("Deep CA"))
	short := certstest.New(t, pathLength(0))
	belowShort := short.Intermediate(t)
	renewed := short.Intermediate(t, certstest.Subject("Test CA")) // self-issued, with a new key: does not count
	noCertSign := certstest.New(t, keyUsage(x509.KeyUsageCRLSign))
	notCA := certstest.New(t, certstest.Template(func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, 0 }))
	rootV1 := certstest.New(t, certstest.Version1())
	middleV1 := ca.Intermediate(t, certstest.Version1())
	constrained := certstest.New(t, certstest.Template(func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"example.com"}, true
	}))
	tlsOnly := certstest.New(t, extendedKeyUsage(x509.ExtKeyUsageServerAuth))
	weakCA := certstest.New(t, certstest.WithKind(certstest.RSA1024))
	oldRoot := certstest.New(t, certstest.WithKind(certstest.RSA), certstest.SignedWith(x509.SHA1WithRSA))
	stranger := certstest.New(t) // same name as ca, another key

	for _, tt := range []struct {
		name    string
		signer  *certstest.Signer
		signing []*x509.Certificate // besides the signer
		ca      []*x509.Certificate
		policy  certs.Policy
		err     string // "" = loads
		is      error
	}{
		{"ECDSA", ca.Issue(t, certstest.ECDSAP256), nil, list(ca.Cert), certs.Policy{}, "", nil},
		{"P-384", ca.Issue(t, certstest.ECDSAP384), nil, list(ca.Cert), certs.Policy{}, "", nil},
		{"RSA", rsaCA.Issue(t, certstest.RSA), nil, list(rsaCA.Cert), certs.Policy{}, "", nil},
		{"version 1", ca.Issue(t, certstest.ECDSAP256, certstest.Version1()), nil, list(ca.Cert), certs.Policy{}, "", nil},
		{"no keyUsage", ca.Issue(t, certstest.ECDSAP256, keyUsage(0)), nil, list(ca.Cert), certs.Policy{}, "", nil},
		{"contentCommitment", ca.Issue(t, certstest.ECDSAP256, keyUsage(x509.KeyUsageContentCommitment)), nil, list(ca.Cert), certs.Policy{}, "", nil},
		{"extendedKeyUsage emailProtection", ca.Issue(t, certstest.ECDSAP256, extendedKeyUsage(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageEmailProtection)), nil, list(ca.Cert), certs.Policy{}, "", nil},
		{"extendedKeyUsage documentSigning", ca.Issue(t, certstest.ECDSAP256, certstest.Template(func(c *x509.Certificate) {
			c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 36}}
		})), nil, list(ca.Cert), certs.Policy{}, "", nil},
		{"extension not critical", ca.Issue(t, certstest.ECDSAP256, extension(private, false)), nil, list(ca.Cert), certs.Policy{}, "", nil},
		{"of several CAs", ca.Issue(t, certstest.ECDSAP256), nil, list(rsaCA.Cert, stranger.Cert, ca.Cert), certs.Policy{}, "", nil},
		{"intermediate in the CA file", middle.Issue(t, certstest.ECDSAP256), nil, list(ca.Cert, middle.Cert), certs.Policy{}, "", nil},
		{"intermediate in the signing file", middle.Issue(t, certstest.ECDSAP256), list(middle.Cert), list(ca.Cert), certs.Policy{}, "", nil},
		{"two intermediates", deep.Issue(t, certstest.ECDSAP256), list(middle.Cert, deep.Cert), list(ca.Cert), certs.Policy{}, "", nil},
		{"intermediate pinned without its root", deep.Issue(t, certstest.ECDSAP256), nil, list(deep.Cert), certs.Policy{}, "", nil},
		{"path length fits", short.Issue(t, certstest.ECDSAP256), nil, list(short.Cert), certs.Policy{}, "", nil},
		{"path length and self-issued CA", renewed.Issue(t, certstest.ECDSAP256), nil, list(short.Cert, renewed.Cert), certs.Policy{}, "", nil},
		{"version 1 root", rootV1.Issue(t, certstest.ECDSAP256), nil, list(rootV1.Cert), certs.Policy{}, "", nil},
		{"root that signs itself with SHA-1", oldRoot.Issue(t, certstest.RSA), nil, list(oldRoot.Cert), certs.Policy{}, "", nil},
		{"SHA-1 allowed", rsaCA.Issue(t, certstest.RSA, certstest.SignedWith(x509.SHA1WithRSA)), nil, list(rsaCA.Cert), sha1, "", nil},
		{"ECDSA with SHA-1 allowed", ca.Issue(t, certstest.ECDSAP256, certstest.SignedWith(x509.ECDSAWithSHA1)), nil, list(ca.Cert), sha1, "", nil},
		{"weak RSA allowed", weakCA.Issue(t, certstest.RSA1024), nil, list(weakCA.Cert), weak, "", nil},

		{"SHA-1", rsaCA.Issue(t, certstest.RSA, certstest.SignedWith(x509.SHA1WithRSA)), nil, list(rsaCA.Cert), weak, "SHA-1", certs.ErrAlgorithm},
		{"weak RSA", ca.Issue(t, certstest.RSA1024), nil, list(ca.Cert), sha1, "RSA key of 1024 bits", certs.ErrAlgorithm},
		{"weak RSA of the CA", weakCA.Issue(t, certstest.ECDSAP256), nil, list(weakCA.Cert), certs.Policy{}, "RSA key of 1024 bits", certs.ErrAlgorithm},
		{"P-521", ca.Issue(t, certstest.ECDSAP521), nil, list(ca.Cert), certs.Policy{}, "P-521", certs.ErrAlgorithm},
		{"Ed25519", ca.Issue(t, certstest.Ed25519), nil, list(ca.Cert), certs.Policy{}, "wanted RSA or ECDSA", certs.ErrAlgorithm},
		{"no CA", ca.Issue(t, certstest.ECDSAP256), nil, nil, certs.Policy{}, "no CA certificate has the subject", nil},
		{"another CA of that name", ca.Issue(t, certstest.ECDSAP256), nil, list(stranger.Cert), certs.Policy{}, "signature on the certificate", nil},
		{"root in the signing file only", ca.Issue(t, certstest.ECDSAP256), list(ca.Cert), list(middle.Cert), certs.Policy{}, "no CA certificate has the subject", nil},
		{"intermediate missing", middle.Issue(t, certstest.ECDSAP256), nil, list(ca.Cert), certs.Policy{}, "no CA certificate has the subject", nil},
		{"path length", belowShort.Issue(t, certstest.ECDSAP256), nil, list(short.Cert, belowShort.Cert), certs.Policy{}, "path length constraint of 0", nil},
		{"CA without keyCertSign", noCertSign.Issue(t, certstest.ECDSAP256), nil, list(noCertSign.Cert), certs.Policy{}, "keyCertSign", nil},
		{"issuer is no CA", notCA.Issue(t, certstest.ECDSAP256), nil, list(notCA.Cert), certs.Policy{}, "not a CA certificate", nil},
		{"version 1 intermediate in the CA file", middleV1.Issue(t, certstest.ECDSAP256), nil, list(ca.Cert, middleV1.Cert), certs.Policy{}, "not a CA certificate", nil},
		{"name constraints", constrained.Issue(t, certstest.ECDSAP256), nil, list(constrained.Cert), certs.Policy{}, "critical extension that is not supported (2.5.29.30)", nil},
		{"unknown critical extension", ca.Issue(t, certstest.ECDSAP256, extension(private, true)), nil, list(ca.Cert), certs.Policy{}, "critical extension", nil},
		{"keyEncipherment only", ca.Issue(t, certstest.ECDSAP256, keyUsage(x509.KeyUsageKeyEncipherment)), nil, list(ca.Cert), certs.Policy{}, "digitalSignature", nil},
		{"TLS certificate", ca.Issue(t, certstest.ECDSAP256, extendedKeyUsage(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)), nil, list(ca.Cert), certs.Policy{}, "extendedKeyUsage", nil},
		{"CA for TLS", tlsOnly.Issue(t, certstest.ECDSAP256), nil, list(tlsOnly.Cert), certs.Policy{}, "extendedKeyUsage", nil},
		{"one of the CA certificates", notCA.Issue(t, certstest.ECDSAP256), nil, nil, certs.Policy{}, "", errIsCA},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cas := tt.ca
			if tt.is == errIsCA {
				cas = list(tt.signer.Cert)
			}
			b, err := certs.NewBundle(append(list(tt.signer.Cert), tt.signing...), cas, tt.policy, year2025)
			if tt.err == "" && tt.is == nil {
				if err != nil {
					t.Fatal(err)
				}
				if s, err := b.Verify(signed(t, tt.signer), year2025); err != nil || !s.Certificate.Equal(tt.signer.Cert) {
					t.Errorf("Verify: %v", err)
				}
				if len(b.Signers()) != 1 {
					t.Errorf("%d signers", len(b.Signers()))
				}
				return
			}
			if err == nil || b != nil {
				t.Fatalf("bundle %v, error %v", b, err)
			}
			switch {
			case tt.is == errIsCA:
				if !strings.Contains(err.Error(), tt.is.Error()) {
					t.Errorf("error %q, want %q in it", err, tt.is)
				}
			case !strings.Contains(err.Error(), tt.err):
				t.Errorf("error %q, want %q in it", err, tt.err)
			case (tt.is != nil) != errors.Is(err, certs.ErrAlgorithm):
				t.Errorf("error %v, ErrAlgorithm wanted: %v", err, tt.is != nil)
			}
		})
	}
}

// errIsCA marks the case whose CA file is the signer itself.
var errIsCA = errors.New("it is one of the CA certificates")

func TestBundleLeavesOutBadSigners(t *testing.T) {
	t.Parallel()
	ca, other := certstest.New(t), certstest.New(t, certstest.Subject("Other CA"))
	good, alien := ca.Issue(t, certstest.ECDSAP256), other.Issue(t, certstest.ECDSAP256)
	b, err := certs.NewBundle(list(alien.Cert, good.Cert, ca.Cert, good.Cert), list(ca.Cert), certs.Policy{}, year2025)
	if b == nil || err == nil || !strings.Contains(err.Error(), "Other CA") {
		t.Fatalf("bundle %v, error %v", b, err)
	}
	if s := b.Signers(); len(s) != 1 || !s[0].Certificate.Equal(good.Cert) {
		t.Errorf("signers %v", s)
	}
	if b, err := certs.NewBundle(list(ca.Cert), list(ca.Cert), certs.Policy{}, year2025); b != nil || err == nil {
		t.Errorf("only a CA: bundle %v, error %v", b, err)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t, certstest.WithKind(certstest.RSA))
	now := ca.Issue(t, certstest.ECDSAP256, certstest.Serial(1))
	past := ca.Issue(t, certstest.ECDSAP256, certstest.Serial(2), certstest.Valid(year2020, year2020.Add(time.Hour)))
	future := ca.Issue(t, certstest.ECDSAP256, certstest.Serial(3), certstest.Valid(year2030, year2030.Add(time.Hour)))
	twinA := ca.Issue(t, certstest.RSA, certstest.Serial(4))
	twinB := ca.Issue(t, certstest.RSA, certstest.Serial(4))
	weak := ca.Issue(t, certstest.RSA1024, certstest.Serial(5))
	expired := ca.Issue(t, certstest.ECDSAP256, certstest.Serial(6), certstest.Valid(year2020, year2020.Add(time.Hour)))
	renewed := ca.Issue(t, certstest.ECDSAP256, certstest.Serial(6), certstest.WithKey(expired.Key))
	unknown := ca.Issue(t, certstest.ECDSAP256, certstest.Serial(7))
	highSerial := ca.Issue(t, certstest.ECDSAP256, certstest.Serial(0x80))
	b, err := certs.NewBundle(list(now.Cert, past.Cert, future.Cert, twinA.Cert, twinB.Cert, weak.Cert, expired.Cert, renewed.Cert, highSerial.Cert), list(ca.Cert), certs.Policy{}, year2025)
	if b == nil {
		t.Fatal(err)
	}
	renamed := func() *cms.SignedData {
		sd := signed(t, now)
		sd.Issuer = ca.Issue(t, certstest.ECDSAP256).Cert.RawSubject
		return sd
	}()
	for _, tt := range []struct {
		name string
		sd   *cms.SignedData
		want *x509.Certificate
		err  error
	}{
		{"good", signed(t, now), now.Cert, nil},
		{"first of two with one serial number", signed(t, twinA), twinA.Cert, nil},
		{"second of two with one serial number", signed(t, twinB), twinB.Cert, nil},
		{"renewed with the same key and serial number", signed(t, renewed), renewed.Cert, nil},
		{"serial number with a leading zero octet", signed(t, highSerial), highSerial.Cert, nil},
		{"SHA-384", signedBy(t, now.Cert, now.Key, crypto.SHA384), now.Cert, nil},
		{"unknown serial number", signed(t, unknown), nil, certs.ErrUnknownSigner},
		{"unknown issuer", renamed, nil, certs.ErrUnknownSigner},
		{"the CA itself", signedBy(t, ca.Cert, ca.Key, crypto.SHA256), nil, certs.ErrUnknownSigner},
		{"another key", signedBy(t, now.Cert, unknown.Key, crypto.SHA256), nil, certs.ErrSignature},
		{"another key, expired certificate", signedBy(t, past.Cert, unknown.Key, crypto.SHA256), nil, certs.ErrSignature},
		{"SHA-1", signedBy(t, now.Cert, now.Key, crypto.SHA1), nil, certs.ErrAlgorithm},
		{"SHA-1 by another key", signedBy(t, now.Cert, unknown.Key, crypto.SHA1), nil, certs.ErrAlgorithm},
		{"SHA-224", signedBy(t, now.Cert, now.Key, crypto.SHA224), nil, certs.ErrAlgorithm},
		{"key that the policy refuses", signed(t, weak), nil, certs.ErrAlgorithm},
		{"expired", signed(t, past), nil, certs.ErrSignerExpired},
		{"not yet valid", signed(t, future), nil, certs.ErrSignerExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := b.Verify(tt.sd, year2025)
			if !errors.Is(err, tt.err) || (err == nil) != (s != nil) {
				t.Fatalf("signer %v, error %v, want %v", s, err, tt.err)
			}
			if tt.want != nil && !s.Certificate.Equal(tt.want) {
				t.Errorf("signer %v", s.Certificate.SerialNumber)
			}
			if errors.Is(err, certs.ErrSignature) != errors.Is(err, cms.ErrSignature) {
				t.Error("ErrSignature does not wrap cms.ErrSignature")
			}
			var none *certs.Bundle
			if _, err := none.Verify(tt.sd, year2025); !errors.Is(err, certs.ErrUnknownSigner) {
				t.Errorf("nil bundle: %v", err)
			}
		})
	}
	// The same bundle at other times: validity is a matter of use.
	if _, err := b.Verify(signed(t, past), year2020); err != nil {
		t.Errorf("in 2020: %v", err)
	}
	if _, err := b.Verify(signed(t, future), year2030.Add(time.Hour)); err != nil {
		t.Errorf("in 2030, last second: %v", err)
	}
	if _, err := b.Verify(signed(t, future), year2030.Add(time.Hour+time.Second)); !errors.Is(err, certs.ErrSignerExpired) {
		t.Errorf("in 2030, one second later: %v", err)
	}
}

func TestSHA1DigestAllowed(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	s := ca.Issue(t, certstest.ECDSAP256)
	b, err := certs.NewBundle(list(s.Cert), list(ca.Cert), certs.Policy{InsecureAllowSHA1: true}, year2025)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Verify(signedBy(t, s.Cert, s.Key, crypto.SHA1), year2025); err != nil {
		t.Error(err)
	}
}

func TestValidityIsThatOfTheChain(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	ca := certstest.New(t, certstest.Valid(year2020, year2030))
	middle := ca.Intermediate(t, certstest.Valid(year2020.Add(day), year2030.Add(day)))
	s := middle.Issue(t, certstest.ECDSAP256, certstest.Valid(year2020.Add(-day), year2030.Add(2*day)))
	b, err := certs.NewBundle(list(s.Cert), list(ca.Cert, middle.Cert), certs.Policy{}, year2025)
	if err != nil {
		t.Fatal(err)
	}
	got := b.Signers()[0]
	if !got.NotBefore().Equal(year2020.Add(day)) || !got.NotAfter().Equal(year2030) {
		t.Errorf("valid from %v to %v", got.NotBefore(), got.NotAfter())
	}
	for at, want := range map[time.Time]bool{
		year2020.Add(day - time.Second): false, year2020.Add(day): true, year2030: true, year2030.Add(time.Second): false,
	} {
		if got.ValidAt(at) != want {
			t.Errorf("at %v: %v", at, !want)
		}
	}

	// A CA that was renewed with the same key: each of its certificates makes a chain.
	renewed := certstest.New(t, certstest.WithKey(ca.Key), certstest.Valid(year2030.Add(10*day), year2030.Add(20*day)))
	long := ca.Issue(t, certstest.ECDSAP256, certstest.Valid(year2020, year2030.Add(20*day)))
	if b, err = certs.NewBundle(list(long.Cert), list(ca.Cert, renewed.Cert), certs.Policy{}, year2025); err != nil {
		t.Fatal(err)
	}
	got = b.Signers()[0]
	for at, want := range map[time.Time]bool{year2025: true, year2030.Add(5 * day): false, year2030.Add(15 * day): true} {
		if got.ValidAt(at) != want {
			t.Errorf("renewed CA at %v: %v", at, !want)
		}
	}
	if !got.NotBefore().Equal(year2020) || !got.NotAfter().Equal(year2030.Add(20*day)) {
		t.Errorf("renewed CA: valid from %v to %v", got.NotBefore(), got.NotAfter())
	}
}

func TestContains(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	a, c := ca.Issue(t, certstest.ECDSAP256), ca.Issue(t, certstest.ECDSAP256)
	bundle := func(cs ...*x509.Certificate) *certs.Bundle {
		b, err := certs.NewBundle(cs, list(ca.Cert), certs.Policy{}, year2025)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	both, again, one := bundle(a.Cert, c.Cert), bundle(a.Cert, c.Cert), bundle(c.Cert)
	s := both.Signers()[0]
	var none *certs.Bundle
	switch {
	case !both.Contains(s), !again.Contains(s):
		t.Error("a signer is not found in a bundle with its certificate")
	case one.Contains(s), none.Contains(s), both.Contains(nil):
		t.Error("a signer is found where it is not")
	case none.Generation() != 0, len(none.Signers()) != 0:
		t.Error("a nil bundle is not empty")
	}
	both.Signers()[0] = nil
	if both.Signers()[0] == nil {
		t.Error("Signers gives away the bundle's own slice")
	}
}

func TestCircularCrossCertificatesEnd(t *testing.T) {
	t.Parallel()
	var cas []*certstest.CA
	for i := range 12 {
		cas = append(cas, certstest.New(t, certstest.Subject("CA "+string(rune('A'+i)))))
	}
	var crossed []*x509.Certificate
	for _, a := range cas {
		for _, b := range cas[:5] {
			if a != b {
				crossed = append(crossed, a.Intermediate(t, certstest.Template(func(c *x509.Certificate) { c.RawSubject = b.Cert.RawSubject }), certstest.WithKey(b.Key)).Cert)
			}
		}
	}
	s := cas[0].Issue(t, certstest.ECDSAP256)
	if _, err := certs.NewBundle(append(list(s.Cert), crossed...), list(cas[0].Cert), certs.Policy{}, year2025); err != nil {
		t.Errorf("with an anchor: %v", err)
	}
	begin := time.Now()
	if b, err := certs.NewBundle(append(list(s.Cert), crossed...), list(certstest.New(t).Cert), certs.Policy{}, year2025); b != nil || err == nil {
		t.Errorf("without an anchor: %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestVerifyLooksUpWithoutAllocation(t *testing.T) {
	ca := certstest.New(t)
	s, unknown := ca.Issue(t, certstest.ECDSAP256), ca.Issue(t, certstest.ECDSAP256)
	b, err := certs.NewBundle(list(s.Cert), list(ca.Cert), certs.Policy{}, year2025)
	if err != nil {
		t.Fatal(err)
	}
	sd := signed(t, unknown)
	sd.SerialNumber = bytes.Clone(sd.SerialNumber)
	if n := testing.AllocsPerRun(100, func() { _, _ = b.Verify(sd, year2025) }); n != 0 {
		t.Errorf("%v allocations to find that a signer is unknown", n)
	}
}
