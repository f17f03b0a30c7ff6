package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func certificate(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(read(t, name+".cert.pem"))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func key(t testing.TB, name string) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode(read(t, name+".key.pem"))
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return k.(crypto.Signer)
}

// TestOpenSSLMessages reads what openssl made with each kind of key and digest.
func TestOpenSSLMessages(t *testing.T) {
	algorithms := map[string]Algorithm{"rsa": RSA, "p256": ECDSA, "p384": ECDSA}
	hashes := map[string]crypto.Hash{"sha1": crypto.SHA1, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}
	for keyName, algorithm := range algorithms {
		cert := certificate(t, keyName)
		for hashName, hash := range hashes {
			t.Run(keyName+"-"+hashName, func(t *testing.T) {
				der := read(t, keyName+"-"+hashName+".der")
				sd, err := Parse(der)
				if err != nil {
					t.Fatal(err)
				}
				if sd.Algorithm != algorithm || sd.Hash != hash {
					t.Errorf("got %v with %v", sd.Algorithm, sd.Hash)
				}
				if want := `{"token":{"key":"` + keyName + `","digest":"` + hashName + `"}}`; string(sd.Content) != want {
					t.Errorf("content %q, want %q", sd.Content, want)
				}
				if !bytes.Equal(sd.Issuer, cert.RawIssuer) || !bytes.Equal(sd.SerialNumber, SerialOctets(cert.SerialNumber)) {
					t.Error("issuer or serial number is not the certificate's")
				}
				if err := sd.CheckSignature(cert.PublicKey); err != nil {
					t.Error(err)
				}
				if !bytes.Equal(sd.Append(nil), der) {
					t.Error("Append spells the message differently")
				}
			})
		}
	}
}

func TestLengths(t *testing.T) {
	for name, n := range map[string]int{"empty": 0, "content-100": 100, "content-200": 200, "content-5000": 5000, "content-70000": 70000} {
		der := read(t, name+".der")
		sd, err := Parse(der)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(sd.Content) != n || !bytes.Equal(sd.Append(nil), der) {
			t.Errorf("%s: %d bytes of content, or another spelling", name, len(sd.Content))
		}
	}
}

// TestRefused reads messages that are sound CMS, but not in Keystone's form.
func TestRefused(t *testing.T) {
	files, _ := filepath.Glob("testdata/refused-*.der")
	if len(files) < 10 {
		t.Fatalf("only %d vectors", len(files))
	}
	for _, file := range files {
		der, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(der); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", filepath.Base(file), err)
		}
	}
}

// TestEveryByte changes each byte of a message in four ways. What still parses must spell itself, and what still verifies must
// be the message itself: there is no second spelling that one byte away.
func TestEveryByte(t *testing.T) {
	for _, name := range []string{"rsa", "p256"} {
		der := read(t, name+"-sha256.der")
		cert := certificate(t, name)
		for i := range der {
			for _, mask := range []byte{0x01, 0x20, 0x80, 0xff} {
				changed := bytes.Clone(der)
				changed[i] ^= mask
				sd, err := Parse(changed)
				if err != nil {
					if !errors.Is(err, ErrMalformed) {
						t.Fatalf("%s byte %d: %v is not ErrMalformed", name, i, err)
					}
					continue
				}
				if !bytes.Equal(sd.Append(nil), changed) {
					t.Fatalf("%s byte %d ^ %#x: accepted, but spelled another way", name, i, mask)
				}
				known := bytes.Equal(sd.Issuer, cert.RawIssuer) && bytes.Equal(sd.SerialNumber, SerialOctets(cert.SerialNumber))
				if known && sd.CheckSignature(cert.PublicKey) == nil {
					t.Fatalf("%s byte %d ^ %#x: still verifies", name, i, mask)
				}
			}
		}
	}
}

func TestTruncatedAndExtended(t *testing.T) {
	der := read(t, "rsa-sha256.der")
	for n := range der {
		if _, err := Parse(der[:n]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("first %d bytes: %v", n, err)
		}
	}
	if _, err := Parse(append(bytes.Clone(der), 0)); !errors.Is(err, ErrMalformed) {
		t.Fatalf("one byte more: %v", err)
	}
}

func TestSign(t *testing.T) {
	content := []byte(`{"token":{"é":1}}`)
	for _, name := range []string{"rsa", "p256", "p384"} {
		for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			der, err := Sign(content, certificate(t, name), key(t, name), hash)
			if err != nil {
				t.Fatal(err)
			}
			sd, err := Parse(der)
			if err != nil {
				t.Fatalf("%s %v: %v", name, hash, err)
			}
			if !bytes.Equal(sd.Content, content) || !bytes.Equal(sd.Append(nil), der) {
				t.Errorf("%s %v: not what was signed", name, hash)
			}
			if err := sd.CheckSignature(certificate(t, name).PublicKey); err != nil {
				t.Errorf("%s %v: %v", name, hash, err)
			}
		}
	}
}

// TestSignRSAIsOpenSSLs: RSA signatures are deterministic, so our message is openssl's byte for byte.
func TestSignRSAIsOpenSSLs(t *testing.T) {
	for _, c := range []struct {
		file string
		hash crypto.Hash
	}{{"rsa-sha256.der", crypto.SHA256}, {"rsa-sha384.der", crypto.SHA384}, {"rsa-sha512.der", crypto.SHA512}, {"empty.der", crypto.SHA256}, {"content-70000.der", crypto.SHA256}} {
		want := read(t, c.file)
		sd, err := Parse(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Sign(sd.Content, certificate(t, "rsa"), key(t, "rsa"), c.hash)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: our message differs from openssl's", c.file)
		}
	}
}

func TestSignECDSAHasLowS(t *testing.T) {
	cert, k := certificate(t, "p256"), key(t, "p256")
	pub := cert.PublicKey.(*ecdsa.PublicKey)
	for range 32 { // half of them would be high by chance
		der, err := Sign([]byte("{}"), cert, k, crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		sd, err := Parse(der)
		if err != nil {
			t.Fatal(err)
		}
		if _, s, ok := splitECDSASignature(sd.Signature); !ok || s.Cmp(halfOrder(pub)) > 0 {
			t.Fatal("s is in the upper half")
		}
	}
}

// TestOtherSpelling: from an ECDSA message anybody can make a second one that verifies; OtherSpelling must give just that one,
// and from it the first again.
func TestOtherSpelling(t *testing.T) {
	for _, name := range []string{"p256", "p384"} {
		cert := certificate(t, name)
		der := read(t, name+"-sha256.der")
		sd, err := Parse(der)
		if err != nil {
			t.Fatal(err)
		}
		other, ok := sd.OtherSpelling(cert.PublicKey)
		if !ok {
			t.Fatalf("%s: no other spelling", name)
		}
		otherDER := other.Append(nil)
		if bytes.Equal(otherDER, der) {
			t.Fatalf("%s: the other spelling is the same", name)
		}
		parsed, err := Parse(otherDER)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := parsed.CheckSignature(cert.PublicKey); err != nil {
			t.Errorf("%s: the other spelling does not verify: %v", name, err)
		}
		back, ok := parsed.OtherSpelling(cert.PublicKey)
		if !ok || !bytes.Equal(back.Append(nil), der) {
			t.Errorf("%s: the other spelling of the other spelling is not the first", name)
		}
	}
	sd, err := Parse(read(t, "rsa-sha256.der"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := sd.OtherSpelling(certificate(t, "rsa").PublicKey); ok {
		t.Error("an RSA message has one spelling only")
	}
}

func TestCheckSignatureRefuses(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaMessage, ecMessage := read(t, "rsa-sha256.der"), read(t, "p256-sha256.der")
	for name, c := range map[string]struct {
		der []byte
		pub crypto.PublicKey
	}{
		"ECDSA key for an RSA message":  {rsaMessage, certificate(t, "p256").PublicKey},
		"RSA key for an ECDSA message":  {ecMessage, certificate(t, "rsa").PublicKey},
		"another curve":                 {ecMessage, certificate(t, "p384").PublicKey},
		"a curve that is not allowed":   {ecMessage, &p224.PublicKey},
		"no key":                        {rsaMessage, nil},
		"an RSA key of another modulus": {rsaMessage, &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 2047, 1), E: 65537}},
	} {
		sd, err := Parse(c.der)
		if err != nil {
			t.Fatal(err)
		}
		if err := sd.CheckSignature(c.pub); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: got %v, want ErrSignature", name, err)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		cert string
		key  string
		hash crypto.Hash
		want string
	}{
		"SHA-1":         {"rsa", "rsa", crypto.SHA1, "not one of SHA-256"},
		"SHA-224":       {"rsa", "rsa", crypto.SHA224, "not one of SHA-256"},
		"another's key": {"rsa", "p256", crypto.SHA256, "does not belong"},
	} {
		if _, err := Sign([]byte("{}"), certificate(t, c.cert), key(t, c.key), c.hash); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// TestLargeContent: a revocation list can be larger than three length octets say.
func TestLargeContent(t *testing.T) {
	for _, n := range []int{1<<24 - 300, 1 << 24, 20 << 20} {
		der, err := Sign(make([]byte, n), certificate(t, "p256"), key(t, "p256"), crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		sd, err := Parse(der)
		if err != nil || len(sd.Content) != n {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if !bytes.Equal(sd.Append(nil), der) {
			t.Errorf("%d bytes: Append spells the message differently", n)
		}
	}
}

func TestPEM(t *testing.T) {
	for _, name := range []string{"rsa-sha256.der", "p256-sha256.der", "empty.der", "content-5000.der"} {
		der := read(t, name)
		text := EncodePEM(der)
		if len(text) != PEMLen(len(der)) {
			t.Errorf("%s: PEMLen %d, but %d bytes", name, PEMLen(len(der)), len(text))
		}
		for _, spelling := range [][]byte{text, bytes.TrimSuffix(text, []byte("\n"))} {
			back, err := DecodePEM(spelling)
			if err != nil || !bytes.Equal(back, der) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	good := string(EncodePEM(read(t, "rsa-sha256.der")))
	for name, text := range map[string]string{
		"empty":            "",
		"no end":           strings.TrimSuffix(good, "-----END CMS-----\n"),
		"no begin":         strings.TrimPrefix(good, "-----BEGIN CMS-----\n"),
		"begin only":       "-----BEGIN CMS-----\n",
		"overlap":          "-----BEGIN CMS-----\n-----END CMS-----",
		"other label":      strings.ReplaceAll(good, "CMS", "PKCS7"),
		"CRLF":             strings.ReplaceAll(good, "\n", "\r\n"),
		"text after":       good + "x",
		"two newlines":     good + "\n",
		"header line":      strings.Replace(good, "CMS-----\n", "CMS-----\nA: b\n\n", 1),
		"short line":       strings.Replace(good, "MII", "M\nII", 1),
		"one line":         "-----BEGIN CMS-----\n" + strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(good, "-----BEGIN CMS-----\n"), "-----END CMS-----\n"), "\n", "") + "\n-----END CMS-----\n",
		"url alphabet":     strings.ReplaceAll(good, "+", "-"),
		"without padding":  strings.ReplaceAll(good, "=", ""),
		"a space in front": " " + good,
	} {
		if name == "without padding" && text == good || name == "url alphabet" && text == good {
			continue
		}
		if _, err := DecodePEM([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
}

// TestParseTakesNothing: a message costs no allocation, and nesting none either.
func TestParseTakesNothing(t *testing.T) {
	der := read(t, "content-5000.der")
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Parse(der); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a good message", n)
	}
	nested := bytes.Repeat([]byte{0x30, 0x80}, 32<<10)
	deep := append([]byte{0x30, 0x83, 0x00, 0xff, 0xff}, nested...)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = Parse(deep)
	}); n > 4 {
		t.Errorf("%v allocations for 64 KiB of nesting", n)
	}
}

func BenchmarkParse(b *testing.B) {
	der := read(b, "content-5000.der")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(der); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseNested(b *testing.B) {
	deep := bytes.Repeat([]byte{0x30, 0x80}, 32<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(deep); err == nil {
			b.Fatal("accepted")
		}
	}
}

func BenchmarkSign(b *testing.B) {
	content := bytes.Repeat([]byte("x"), 3500)
	for _, name := range []string{"rsa", "p256"} {
		cert, k := certificate(b, name), key(b, name)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Sign(content, cert, k, crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
