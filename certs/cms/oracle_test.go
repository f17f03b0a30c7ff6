package cms

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.mozilla.org/pkcs7"
)

// openssl asks the openssl command, in the words that keystoneclient used, whether cert signed der, and for what content.
func openssl(t testing.TB, der []byte, cert string) ([]byte, error) {
	t.Helper()
	file := filepath.Join("testdata", cert+".cert.pem")
	cmd := exec.Command("openssl", "cms", "-verify", "-certfile", file, "-CAfile", file, "-inform", "DER",
		"-nosmimecap", "-nodetach", "-nocerts", "-noattr", "-binary")
	cmd.Stdin = bytes.NewReader(der)
	return cmd.Output()
}

func needOpenSSL(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SERVICES") == "1" {
			t.Fatal(err)
		}
		t.Skip("the openssl command is not here")
	}
}

// TestOpenSSLAcceptsOurs: what Sign makes, openssl verifies, with the same content.
func TestOpenSSLAcceptsOurs(t *testing.T) {
	needOpenSSL(t)
	content := []byte(`{"token":{"name":"ü"}}`)
	for _, name := range []string{"rsa", "p256", "p384"} {
		for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			der, err := Sign(content, certificate(t, name), key(t, name), hash)
			if err != nil {
				t.Fatal(err)
			}
			got, err := openssl(t, der, name)
			if err != nil {
				t.Errorf("%s %v: openssl refuses: %v", name, hash, err)
			}
			if !bytes.Equal(got, content) {
				t.Errorf("%s %v: openssl reads %q", name, hash, got)
			}
		}
	}
}

// agree wants a message that Parse accepted to be one spelling, and to mean the same to mozilla's pkcs7.
func agree(t *testing.T, der []byte, sd *SignedData) {
	t.Helper()
	if !bytes.Equal(sd.Append(nil), der) {
		t.Fatalf("accepted %x, but spelled another way", der)
	}
	other, err := pkcs7.Parse(der)
	if err != nil {
		t.Fatalf("accepted %x, which pkcs7 cannot read: %v", der, err)
	}
	if !bytes.Equal(other.Content, sd.Content) {
		t.Fatalf("content %q, for pkcs7 it is %q", sd.Content, other.Content)
	}
	if n := len(other.Signers); n != 1 {
		t.Fatalf("pkcs7 sees %d signers", n)
	}
	if !bytes.Equal(other.Signers[0].EncryptedDigest, sd.Signature) {
		t.Fatal("pkcs7 sees another signature")
	}
}

// FuzzParse: whatever is accepted marshals back to the same bytes, and pkcs7 reads the same in it.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.der")
	if err != nil || len(files) == 0 {
		f.Fatal("no vectors")
	}
	for _, file := range files {
		der, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		sd, err := Parse(der)
		if err != nil {
			return
		}
		agree(t, der, &sd)
	})
}

// FuzzAgainstOpenSSL signs a content, changes the message, and compares verdicts: what verifies here verifies with openssl and
// with pkcs7, for the same content. (They accept more than we do; that is the point of this package.)
func FuzzAgainstOpenSSL(f *testing.F) {
	needOpenSSL(f)
	names := []string{"rsa", "p256", "p384"}
	hashes := []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}
	f.Add([]byte(`{"token":{}}`), uint8(0), uint8(0), uint16(0), uint8(0))
	f.Add([]byte(`{"token":{}}`), uint8(1), uint8(1), uint16(20), uint8(1))
	f.Add([]byte{}, uint8(2), uint8(2), uint16(300), uint8(0x20))
	f.Fuzz(func(t *testing.T, content []byte, who, how uint8, at uint16, mask uint8) {
		name := names[int(who)%len(names)]
		cert := certificate(t, name)
		der, err := Sign(content, cert, key(t, name), hashes[int(how)%len(hashes)])
		if err != nil {
			t.Fatal(err)
		}
		der[int(at)%len(der)] ^= mask
		sd, err := Parse(der)
		if err != nil {
			return
		}
		agree(t, der, &sd)
		pinned := bytes.Equal(sd.Issuer, cert.RawIssuer) && bytes.Equal(sd.SerialNumber, SerialOctets(cert.SerialNumber))
		if !pinned || sd.CheckSignature(cert.PublicKey) != nil {
			return
		}
		got, err := openssl(t, der, name)
		if err != nil {
			t.Fatalf("verifies here, but not with openssl: %x", der)
		}
		if !bytes.Equal(got, content) || !bytes.Equal(sd.Content, content) {
			t.Fatalf("content %q, for openssl it is %q, signed was %q", sd.Content, got, content)
		}
		other, err := pkcs7.Parse(der)
		if err != nil {
			t.Fatal(err)
		}
		other.Certificates = []*x509.Certificate{cert}
		if err := other.Verify(); err != nil {
			t.Fatalf("verifies here, but not with pkcs7: %v", err)
		}
	})
}

// FuzzDecodePEM: whatever is accepted is what EncodePEM makes, but for the final newline.
func FuzzDecodePEM(f *testing.F) {
	for _, name := range []string{"rsa-sha256.der", "p256-sha256.der", "empty.der"} {
		f.Add(EncodePEM(read(f, name)))
	}
	f.Add([]byte("-----BEGIN CMS-----\n-----END CMS-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		der, err := DecodePEM(text)
		if err != nil {
			return
		}
		if again := EncodePEM(der); !bytes.Equal(bytes.TrimSuffix(text, []byte("\n")), bytes.TrimSuffix(again, []byte("\n"))) {
			t.Fatalf("accepted %q, which is spelled %q", text, again)
		}
	})
}

// FuzzECDSASignature: what is accepted as a signature is one spelling of two numbers.
func FuzzECDSASignature(f *testing.F) {
	sd, err := Parse(read(f, "p256-sha256.der"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sd.Signature)
	f.Fuzz(func(t *testing.T, der []byte) {
		r, s, ok := splitECDSASignature(der)
		if !ok {
			return
		}
		if again := joinECDSASignature(r, s); !bytes.Equal(again, der) {
			t.Fatalf("accepted %x, spelled again %x", der, again)
		}
	})
}

// BenchmarkPKCS7Parse is the general reader on the same message as BenchmarkParse.
func BenchmarkPKCS7Parse(b *testing.B) {
	der := read(b, "content-5000.der")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pkcs7.Parse(der); err != nil {
			b.Fatal(err)
		}
	}
}
