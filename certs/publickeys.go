package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// LoadPublicKeys reads the public keys of JWS tokens from a directory, as keystone-manage create_jws_keypair makes them: one key on
// P-256 (SubjectPublicKeyInfo as PEM) in each file named *.pem. There must be one, and none that is anything else.
func LoadPublicKeys(dir string) ([]*ecdsa.PublicKey, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err == nil && len(files) == 0 {
		_, err = os.ReadDir(dir)
		if err == nil {
			err = errors.New("it has no file *.pem")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("public keys of JWS tokens in %s: %w", dir, err)
	}
	var keys []*ecdsa.PublicKey
	for _, file := range files {
		key, err := loadPublicKey(file)
		if err != nil {
			return nil, fmt.Errorf("public key %s: %w", file, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func loadPublicKey(file string) (*ecdsa.PublicKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("it is not PEM")
	case block.Type != "PUBLIC KEY":
		return nil, fmt.Errorf("it holds a %s, and a PUBLIC KEY is wanted", block.Type)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	onCurve, ok := key.(*ecdsa.PublicKey)
	if !ok || onCurve.Curve != elliptic.P256() {
		return nil, errors.New("it is no key on the curve P-256, with which ES256 signs")
	}
	return onCurve, nil
}
