package certs

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadPublicKeys(t *testing.T) {
	t.Parallel()
	public := func(key any) []byte {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	generate := func(curve elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	one, two := generate(elliptic.P256()), generate(elliptic.P256())
	other, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(one)
	if err != nil {
		t.Fatal(err)
	}
	good := map[string][]byte{"1.pem": public(&one.PublicKey), "2.pem": public(&two.PublicKey), "README": []byte("x")}
	for name, tt := range map[string]struct {
		file string
		text []byte
		want string // "" for both keys
	}{
		"two keys":     {"notes.txt", []byte("x"), ""},
		"private key":  {"3.pem", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), "3.pem: it holds a EC PRIVATE KEY, and a PUBLIC KEY is wanted"},
		"other curve":  {"3.pem", public(&generate(elliptic.P384()).PublicKey), "3.pem: it is no key on the curve P-256"},
		"other kind":   {"3.pem", public(other), "3.pem: it is no key on the curve P-256"},
		"not PEM":      {"3.pem", []byte("x"), "3.pem: it is not PEM"},
		"not DER":      {"3.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}), "3.pem: "},
		"a directory":  {"3.pem/x", []byte("x"), "3.pem: read "},
		"one of empty": {"3.pem", nil, "3.pem: it is not PEM"},
	} {
		dir := t.TempDir()
		files := map[string][]byte{tt.file: tt.text}
		for file, text := range good {
			files[file] = text
		}
		for file, text := range files {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		keys, err := LoadPublicKeys(dir)
		switch {
		case tt.want == "":
			if err != nil || len(keys) != 2 || !keys[0].Equal(&one.PublicKey) || !keys[1].Equal(&two.PublicKey) {
				t.Errorf("%s: %v, %v", name, keys, err)
			}
		case err == nil || !strings.Contains(err.Error(), tt.want) || keys != nil:
			t.Errorf("%s: %v, %v, want %q", name, keys, err, tt.want)
		}
	}
	empty := t.TempDir()
	for dir, want := range map[string]string{empty: "it has no file *.pem", filepath.Join(empty, "none"): "no such file"} {
		if _, err := LoadPublicKeys(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
