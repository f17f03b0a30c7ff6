package validate

import (
	"context"
	"crypto/sha256"
	"errors"

	"authproxy/certs"
	"authproxy/certs/cms"
	"authproxy/keystone/token"
)

func (v *Validator) findSigned(ctx context.Context, text string, form token.Form) (*Verified, *Error) {
	digest := sha256.Sum256([]byte(text))
	if refused := v.refused.get(digest, v.o.Signers.Current().Generation(), v.o.Now()); refused != nil {
		v.counters.negative.Add(1)
		return nil, refused
	}
	type outcome struct {
		verified *Verified
		refused  *Error
	}
	got, _, _ := v.flights.Do(string(digest[:]), func() (any, error) {
		// The flight serves others too: the first caller's going away must not end it. A refresh has a time-out of its own.
		verified, size, refused := v.verify(context.WithoutCancel(ctx), text, form)
		if refused != nil {
			v.refused.put(digest, refused, v.o.Signers.Current().Generation(), v.o.Now())
			return outcome{refused: refused}, nil
		}
		return outcome{verified: v.keep(verified, size, v.o.Now())}, nil
	})
	o := got.(outcome)
	return o.verified, o.refused
}

// verify checks a signed token from text to payload. Nothing of the payload is used before the signature holds. size is what
// the payload takes.
func (v *Validator) verify(ctx context.Context, text string, form token.Form) (verified *Verified, size int, refused *Error) {
	der, err := token.Decode(text, v.o.Limits)
	if errors.Is(err, token.ErrTooLarge) {
		return nil, 0, refuse(TooLarge, err)
	}
	if err != nil {
		return nil, 0, refuse(Malformed, err)
	}
	message, err := cms.Parse(der)
	if err != nil {
		return nil, 0, refuse(Malformed, err)
	}
	signer, refused := v.signer(ctx, &message)
	if refused != nil {
		return nil, 0, refused
	}
	// From here on the content is what a pinned signer signed.
	t, err := token.DecodePayload(message.Content)
	if err != nil {
		return nil, 0, refuse(NotAToken, err)
	}
	if t.Version == 2 && t.Project == nil {
		return nil, 0, refuse(NoProject, nil)
	}
	ids := v.ids(text, form, &message, der, signer)
	return &Verified{Token: t, Form: form, text: text, signer: signer, ids: ids}, len(message.Content), nil
}

// signer finds the pinned certificate whose key made the signature. An unknown signer, and one whose known namesake did not
// sign this, may be a new one: the certificates are fetched again, at most once in a cooldown for all requests together.
func (v *Validator) signer(ctx context.Context, message *cms.SignedData) (*certs.Signer, *Error) {
	bundle := v.o.Signers.Current()
	signer, err := bundle.Verify(message, v.o.Now())
	var unavailable error
	if errors.Is(err, certs.ErrUnknownSigner) || errors.Is(err, certs.ErrSignature) {
		var renewed *certs.Bundle
		renewed, unavailable = v.o.Signers.Refresh(ctx, bundle)
		if renewed != bundle {
			signer, err = renewed.Verify(message, v.o.Now())
		}
	}
	switch {
	case err == nil:
		return signer, nil
	case errors.Is(err, certs.ErrUnknownSigner) && unavailable != nil:
		return nil, refuse(SignerUnavailable, unavailable)
	case errors.Is(err, certs.ErrUnknownSigner):
		return nil, refuse(UnknownSigner, err)
	case errors.Is(err, certs.ErrSignerExpired):
		return nil, refuse(SignerExpired, err)
	case errors.Is(err, certs.ErrAlgorithm):
		return nil, refuse(WeakAlgorithm, err)
	default:
		return nil, refuse(BadSignature, err)
	}
}

// ids gives every id under which a revocation list may name the token: by the text presented, by the canonical PKI text, and
// for ECDSA by the text with the other of the two signatures that verify.
func (v *Validator) ids(text string, form token.Form, message *cms.SignedData, der []byte, signer *certs.Signer) []string {
	spellings := []string{text}
	if form != token.PKI { // PKI text that decodes is the canonical one
		spellings = append(spellings, token.EncodePKI(der))
	}
	if other, ok := message.OtherSpelling(signer.Certificate.PublicKey); ok {
		spellings = append(spellings, token.EncodePKI(other.Append(nil)))
	}
	ids := make([]string, 0, len(spellings)*len(v.o.HashAlgorithms))
	for _, spelling := range spellings {
		ids = append(ids, v.hashes(spelling)...)
	}
	return ids
}

// hashes gives the id of a text by each of hash_algorithms.
func (v *Validator) hashes(text string) []string {
	ids := make([]string, len(v.o.HashAlgorithms))
	for i, algorithm := range v.o.HashAlgorithms {
		ids[i], _ = token.ID(text, algorithm) // New has tried the names
	}
	return ids
}
