package certs_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"authproxy/certs"
	"authproxy/certs/cms"
)

// From nothing to a verified message: make a CA and a signing certificate, sign, and verify with a store that reads the files.
func Example() {
	dir, err := os.MkdirTemp("", "certs-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	certFile, keyFile, caFile := filepath.Join(dir, "signing_cert.pem"), filepath.Join(dir, "signing_key.pem"), filepath.Join(dir, "ca.pem")
	err = certs.Setup(certs.SetupOptions{
		CertFile: certFile, KeyFile: keyFile, CACerts: caFile, CAKey: filepath.Join(dir, "cakey.pem"), KeyType: certs.KeyECDSA,
	})
	if err != nil {
		log.Fatal(err)
	}

	pair, err := certs.LoadSigner(certFile, keyFile)
	if err != nil {
		log.Fatal(err)
	}
	der, err := cms.Sign([]byte("a token"), pair.Leaf, pair.Key, crypto.SHA256)
	if err != nil {
		log.Fatal(err)
	}

	store := &certs.Store{Source: certs.FileSource{SigningFile: certFile, CAFile: caFile}}
	if err := store.Load(context.Background()); err != nil {
		log.Fatal(err)
	}
	message, err := cms.Parse(der)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := store.Current().Verify(&message, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signer.Certificate.Subject.CommonName)
	// Output: www.example.com
}

// What to do about a message whose signer is not known: ask the store for newer certificates until it has none.
func ExampleStore_Refresh() {
	verify := func(ctx context.Context, store *certs.Store, message *cms.SignedData) (*certs.Signer, error) {
		bundle := store.Current()
		for {
			signer, err := bundle.Verify(message, time.Now())
			if !errors.Is(err, certs.ErrUnknownSigner) {
				return signer, err
			}
			newer, refreshErr := store.Refresh(ctx, bundle)
			if refreshErr != nil {
				return nil, refreshErr // cannot say
			}
			if newer == bundle {
				return nil, err // certain: there is no such signer
			}
			bundle = newer
		}
	}
	_, err := verify(context.Background(), &certs.Store{}, &cms.SignedData{Hash: crypto.SHA256})
	fmt.Println(errors.Is(err, certs.ErrUnavailable))
	// Output: true
}
