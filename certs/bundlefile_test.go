package certs_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mozilla.org/pkcs7"

	"authproxy/certs"
	"authproxy/certs/certstest"
)

// p7b makes the bundle of certificates that a CA would deliver, with the openssl command.
func p7b(t *testing.T, form string, chain ...*x509.Certificate) []byte {
	t.Helper()
	in, out := filepath.Join(t.TempDir(), "in.pem"), filepath.Join(t.TempDir(), "out.p7b")
	writeFile(t, in, pemOf(chain...))
	openssl(t, "crl2pkcs7", "-nocrl", "-certfile", in, "-outform", form, "-out", out)
	return readFile(t, out)
}

func pemOf(chain ...*x509.Certificate) []byte {
	var text []byte
	for _, c := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

func TestReadCertificates(t *testing.T) {
	t.Parallel()
	root := certstest.New(t)
	middle := root.Intermediate(t)
	s := middle.Issue(t, certstest.ECDSAP256)
	chain := []*x509.Certificate{s.Cert, middle.Cert, root.Cert}
	commented := append([]byte("Certificate:\n    as openssl x509 -text prints it\n"), pemOf(chain...)...)
	der, pemBundle := p7b(t, "DER", chain...), p7b(t, "PEM", chain...)
	empty := p7b(t, "DER")
	twice := p7b(t, "DER", s.Cert, s.Cert)

	for _, tt := range []struct {
		name string
		file []byte
		want []*x509.Certificate // in any order
		err  string
	}{
		{"PEM", commented, chain, ""},
		{"PKCS#7, DER", der, chain, ""},
		{"PKCS#7, PEM", pemBundle, chain, ""},
		{"PKCS#7 with a title", append([]byte("Your chain:\r\n"), pemBundle...), chain, ""},
		{"the same certificate twice", twice, chain[:1], ""},

		{"without certificates", empty, nil, "a PKCS#7 bundle without certificates"},
		{"two bundles", slices.Concat(pemBundle, pemBundle), nil, "more than one PKCS#7 bundle"},
		{"a bundle and a certificate", slices.Concat(pemBundle, s.CertPEM), nil, "or other PEM beside it"},
		{"a certificate and a bundle", slices.Concat(s.CertPEM, pemBundle), nil, "or other PEM beside it"},
		{"damaged PEM", bytes.Replace(pemBundle, []byte("M"), []byte("?"), 1), nil, "is damaged"},
		{"cut off", der[:len(der)-10], nil, "PKCS#7 bundle cannot be read"},
		{"DER certificate", s.Cert.Raw, nil, "looks like DER"},
		{"too large", append(slices.Clone(der), make([]byte, 64<<10)...), nil, "more than the 65536 that are allowed"},
		{"empty", nil, nil, "empty, wanted a certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			writeFile(t, path, tt.file)
			got, text, err := certs.ReadCertificates(path)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), path) {
					t.Errorf("%v, want %q and the path", err, tt.err)
				}
				return
			}
			if err != nil || len(got) != len(tt.want) {
				t.Fatalf("%d certificates, %v; want %d", len(got), err, len(tt.want))
			}
			for _, c := range tt.want {
				if !slices.ContainsFunc(got, c.Equal) {
					t.Errorf("%q is missing", c.Subject)
				}
			}
			if again, err := certs.ParseCertificates(text); err != nil || !slices.EqualFunc(again, got, (*x509.Certificate).Equal) {
				t.Errorf("the text for verifiers has %d certificates, %v", len(again), err)
			}
			if tt.name == "PEM" && !bytes.Equal(text, tt.file) {
				t.Error("a PEM file is not served as it is")
			}
		})
	}
	// What comes over the network is PEM and nothing else.
	for _, text := range [][]byte{der, pemBundle} {
		if _, err := certs.ParseCertificates(text); err == nil || !strings.Contains(err.Error(), "a PKCS#7 bundle, wanted") {
			t.Errorf("ParseCertificates: %v", err)
		}
	}
}

// TestPKCS7IsOnlyAList: a bundle whose content somebody signed vouches for nothing.
func TestPKCS7IsOnlyAList(t *testing.T) {
	t.Parallel()
	ca, evil := certstest.New(t), certstest.New(t, certstest.WithKind(certstest.RSA))
	signer := evil.Issue(t, certstest.RSA)
	signed, err := pkcs7.NewSignedData([]byte("trust me"))
	if err != nil {
		t.Fatal(err)
	}
	if err := signed.AddSigner(signer.Cert, signer.Key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	signed.AddCertificate(evil.Cert)
	bundle, err := signed.Finish()
	if err != nil {
		t.Fatal(err)
	}
	list, err := certs.ParsePKCS7(bundle)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d certificates, %v", len(list), err)
	}
	if _, err := certs.NewBundle(list, []*x509.Certificate{ca.Cert}, certs.Policy{}, time.Now()); err == nil {
		t.Error("certificates count that no CA of ours vouches for")
	}
}

// TestFilesFromExternalCA: signing certificate and chain as PKCS#7, with an intermediate CA, on the server's and the proxy's side.
func TestFilesFromExternalCA(t *testing.T) {
	t.Parallel()
	root := certstest.New(t)
	middle := root.Intermediate(t)
	s := middle.Issue(t, certstest.ECDSAP256)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	writeFile(t, in("signing.p7b"), p7b(t, "DER", middle.Cert, s.Cert))
	writeFile(t, in("ca.p7b"), p7b(t, "PEM", root.Cert))
	writeFile(t, in("key.pem"), s.KeyPEM)
	pair, err := certs.LoadSigner(in("signing.p7b"), in("key.pem"))
	if err != nil || !pair.Leaf.Equal(s.Cert) || len(pair.Certificates) != 2 {
		t.Fatalf("%v, %+v", err, pair)
	}
	if err := pair.Check([]*x509.Certificate{root.Cert}, time.Now()); err != nil {
		t.Error(err)
	}
	for name, store := range map[string]*certs.Store{
		"source": {Source: certs.FileSource{SigningFile: in("signing.p7b"), CAFile: in("ca.p7b")}},
		"store":  {Source: certs.FileSource{SigningFile: in("signing.p7b")}, CAFile: in("ca.p7b")},
	} {
		if err := store.Load(t.Context()); err != nil || len(store.Current().Signers()) != 1 {
			t.Errorf("%s: %v, %d signers", name, err, len(store.Current().Signers()))
		}
	}
}

func FuzzParsePKCS7(f *testing.F) {
	for _, seed := range []string{"", "0\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", "-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n", strings.Repeat("0\x80", 1000)} {
		f.Add([]byte(seed))
	}
	signed, err := pkcs7.DegenerateCertificate(certstest.New(f).Cert.Raw)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: signed}))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := certs.ParsePKCS7(text)
		if (err == nil) != (len(list) > 0) {
			t.Errorf("%d certificates, %v", len(list), err)
		}
	})
}
