package validate

import (
	"context"
	"errors"
	"sync"

	"authproxy/certs"
	"authproxy/certs/cms"
	"authproxy/keystone/token"
)

func (v *Validator) findSigned(ctx context.Context, text string, hash uint64, form token.Form) (*Verified, *Error) {
	if refused := v.refused.get(text, hash, v.o.Signers.Current().Generation(), v.o.Now()); refused != nil {
		v.counters.negative.Add(1)
		return nil, refused
	}
	type outcome struct {
		verified *Verified
		refused  *Error
	}
	got, _, _ := v.flights.Do(text, func() (any, error) {
		// The flight serves others too: the first caller's going away must not end it. A refresh has a time-out of its own.
		verified, size, refused := v.verify(context.WithoutCancel(ctx), text, form)
		if refused != nil {
			v.refused.put(text, hash, refused, v.o.Signers.Current().Generation(), v.o.Now())
			return outcome{refused: refused}, nil
		}
		return outcome{verified: v.keep(verified, size, v.o.Now())}, nil
	})
	o := got.(outcome)
	return o.verified, o.refused
}

// messages are buffers for the DER of PKI tokens, of which nothing is kept once they have been judged.
var messages = sync.Pool{New: func() any { return new([]byte) }}

// maxMessage is the largest of these buffers to keep, in bytes.
const maxMessage = 64 << 10

// verify checks a signed token from text to payload. Nothing of the payload is used before the signature holds. size is what
// the payload takes.
func (v *Validator) verify(ctx context.Context, text string, form token.Form) (verified *Verified, size int, refused *Error) {
	buffer := messages.Get().(*[]byte)
	der, err := token.AppendDER((*buffer)[:0], text, v.o.Limits)
	defer func() {
		if cap(der) <= maxMessage {
			*buffer = der
			messages.Put(buffer)
		}
	}()
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
	t, err := v.catalogs.DecodePayload(message.Content)
	if err != nil {
		return nil, 0, refuse(NotAToken, err)
	}
	if t.Version == 2 && t.Project == nil {
		return nil, 0, refuse(NoProject, nil)
	}
	return &Verified{Token: t, Form: form, text: text, signer: signer, known: known{spellings: spellings(text, form, &message, der, signer)}},
		len(message.Content), nil
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

// known is what a revocation list may know a signed token by. The hashes are made when a list first has something to look for.
type known struct {
	once      sync.Once
	spellings []string // until the hashes are made
	ids       []string
}

// spellings gives every text whose id may stand in a revocation list for the token: the text presented, the canonical PKI text,
// and for ECDSA the text with the other of the two signatures that verify.
func spellings(text string, form token.Form, message *cms.SignedData, der []byte, signer *certs.Signer) []string {
	texts := []string{text}
	if form != token.PKI { // PKI text that decodes is the canonical one
		texts = append(texts, token.EncodePKI(der))
	}
	if other, ok := message.OtherSpelling(signer.Certificate.PublicKey); ok {
		texts = append(texts, token.EncodePKI(other.Append(nil)))
	}
	return texts
}

// ids gives every id under which a revocation list may name the token.
func (v *Validator) ids(verified *Verified) []string {
	k := &verified.known
	k.once.Do(func() {
		ids := make([]string, 0, len(k.spellings)*len(v.o.HashAlgorithms))
		for _, spelling := range k.spellings {
			ids = append(ids, v.hashes(spelling)...)
		}
		k.ids, k.spellings = ids, nil
	})
	return k.ids
}

// hashes gives the id of a text by each of hash_algorithms.
func (v *Validator) hashes(text string) []string {
	ids := make([]string, len(v.o.HashAlgorithms))
	for i, algorithm := range v.o.HashAlgorithms {
		ids[i], _ = token.ID(text, algorithm) // New has tried the names
	}
	return ids
}
