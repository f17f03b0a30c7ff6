package certstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// NewKey makes a key of the given kind; RSA keys come from the same few as those of Issue.
func NewKey(tb testing.TB, kind Kind) crypto.Signer {
	tb.Helper()
	return newKey(tb, kind)
}

func newKey(tb testing.TB, kind Kind) crypto.Signer {
	tb.Helper()
	key, err := func() (crypto.Signer, error) {
		switch kind {
		case RSA:
			return rsaPool.key(tb.Name(), 2048)
		case RSA1024:
			return rsaPool.key(tb.Name(), 1024)
		case ECDSAP256:
			return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		case ECDSAP384:
			return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		case ECDSAP521:
			return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		case Ed25519:
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		default:
			return nil, fmt.Errorf("no such kind of key: %d", kind)
		}
	}()
	if err != nil {
		tb.Fatalf("certstest: %v", err)
	}
	return key
}

// rsaPool is package-level state on purpose: its keys cost more than most tests do.
var rsaPool pool

const poolSize = 6

// pool hands out a few RSA keys again and again, in turn within each test.
type pool struct {
	mu   sync.Mutex
	next map[string]int // by test and key size
	keys map[[2]int]*rsa.PrivateKey
}

func (p *pool) key(test string, bits int) (*rsa.PrivateKey, error) {
	// Subtests take turns with their parent: they often use its CA.
	root, _, _ := strings.Cut(test, "/")
	turn := fmt.Sprint(root, bits)

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == nil {
		p.next, p.keys = map[string]int{}, map[[2]int]*rsa.PrivateKey{}
	}
	slot := [2]int{bits, p.next[turn] % poolSize}
	p.next[turn]++
	if p.keys[slot] == nil {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return nil, err
		}
		p.keys[slot] = key
	}
	return p.keys[slot], nil
}

func keyPEM(tb testing.TB, key crypto.Signer) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatalf("certstest: %v", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// version1 drops version and extensions from the certificate and signs it anew: crypto/x509 makes version 3 only.
func version1(tb testing.TB, c *x509.Certificate, issuer crypto.Signer) *x509.Certificate {
	tb.Helper()
	body := cryptobyte.String(c.RawTBSCertificate)
	var fields cryptobyte.String
	version, extensions := cbasn1.Tag(0).ContextSpecific().Constructed(), cbasn1.Tag(3).ContextSpecific().Constructed()
	var b cryptobyte.Builder
	ok := body.ReadASN1(&fields, cbasn1.SEQUENCE) && fields.SkipOptionalASN1(version)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for ok && !fields.Empty() && !fields.PeekASN1Tag(extensions) {
			var field cryptobyte.String
			var tag cbasn1.Tag
			ok = fields.ReadAnyASN1Element(&field, &tag)
			b.AddBytes(field)
		}
	})
	tbs, err := b.Bytes()
	if err != nil || !ok {
		tb.Fatalf("certstest: version 1 certificate: %v", err)
	}

	// A certificate is SEQUENCE { tbs, algorithm, signature }: the algorithm stays.
	var whole struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.Raw, &whole); err != nil {
		tb.Fatalf("certstest: %v", err)
	}
	hash := hashOf(tb, c.SignatureAlgorithm)
	h := hash.New()
	h.Write(tbs)
	signature, err := issuer.Sign(rand.Reader, h.Sum(nil), hash)
	if err != nil {
		tb.Fatalf("certstest: %v", err)
	}
	whole.TBS = asn1.RawValue{FullBytes: tbs}
	whole.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	der, err := asn1.Marshal(whole)
	if err != nil {
		tb.Fatalf("certstest: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatalf("certstest: %v", err)
	}
	return cert
}

func hashOf(tb testing.TB, a x509.SignatureAlgorithm) crypto.Hash {
	tb.Helper()
	switch a {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1:
		return crypto.SHA1
	case x509.SHA256WithRSA, x509.ECDSAWithSHA256:
		return crypto.SHA256
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384:
		return crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512:
		return crypto.SHA512
	default:
		tb.Fatalf("certstest: no version 1 certificate with %v", a)
		return 0
	}
}
