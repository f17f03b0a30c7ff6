package certs_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"authproxy/certs"
)

func TestRequest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := certs.RequestOptions{
		KeyFile: filepath.Join(dir, "private", "key.pem"), RequestFile: filepath.Join(dir, "req.pem"),
		Subject: "/C=DE/O=Example/CN=keystone", KeyType: certs.KeyECDSA,
	}
	if err := certs.Request(o); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(o.KeyFile); err != nil || info.Mode() != 0o600 {
		t.Errorf("key: %v, %v", info.Mode(), err)
	}
	block, rest := pem.Decode(readFile(t, o.RequestFile))
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(rest) != 0 {
		t.Fatalf("not one request: %v, %q", block, rest)
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := request.CheckSignature(); err != nil || request.Subject.String() != "CN=keystone,O=Example,C=DE" {
		t.Errorf("%v, subject %s", err, request.Subject)
	}
	// What is there stays, and nothing is made beside it.
	for _, gone := range []string{o.KeyFile, o.RequestFile} {
		if err := os.Remove(gone); err != nil {
			t.Fatal(err)
		}
		if err := certs.Request(o); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%v, want fs.ErrExist", err)
		}
		if _, err := os.Stat(gone); err == nil {
			t.Errorf("%s was made all the same", gone)
		}
		if err := os.RemoveAll(filepath.Dir(o.KeyFile)); err != nil {
			t.Fatal(err)
		}
		os.Remove(o.RequestFile)
		if err := certs.Request(o); err != nil {
			t.Fatal(err)
		}
	}
}
