package certs

import (
	"context"
	"fmt"
)

// Source is where certificates come from. keystone/client has the one that asks the Identity service.
type Source interface {
	// Fetch returns the signing certificates and the CA certificates as PEM, or ErrNoPKI. ca may be empty when a Store has a
	// CAFile.
	Fetch(ctx context.Context) (signing, ca []byte, err error)
}

// FileSource reads certificates from files of the operator, PEM or PKCS#7, anew at each fetch. Its CA is one that the operator
// pinned.
type FileSource struct {
	SigningFile string
	// CAFile may be empty when the Store has one.
	CAFile string
}

// Fetch implements Source.
func (f FileSource) Fetch(ctx context.Context) (signing, ca []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if signing, err = readPEM(f.SigningFile); err != nil {
		return nil, nil, fmt.Errorf("signing certificates: %w", err)
	}
	if f.CAFile == "" {
		return signing, nil, nil // the Store has one
	}
	if ca, err = readPEM(f.CAFile); err != nil {
		return nil, nil, fmt.Errorf("CA certificates: %w", err)
	}
	return signing, ca, nil
}
