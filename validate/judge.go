package validate

import (
	"context"
	"errors"
	"time"

	"authproxy/revocation"
	"authproxy/validate/bind"
)

// judge decides about this request, whether or not the token came from the cache.
func (v *Validator) judge(ctx context.Context, verified *Verified, r Request) *Error {
	now := v.o.Now()
	expired := !now.Before(verified.Token.ExpiresAt)
	if expired && (!r.AllowExpired || !now.Before(verified.Token.ExpiresAt.Add(v.o.AllowExpiredWindow))) {
		return refuse(Expired, nil)
	}
	if verified.signer != nil {
		if refused := v.standing(verified, now); refused != nil {
			return refused
		}
		if refused := v.revoked(ctx, verified, now, expired); refused != nil {
			return refused
		}
	}
	if err := v.bound(verified, r); err != nil {
		return refuse(Bind, err)
	}
	return nil
}

func (v *Validator) bound(verified *Verified, r Request) error {
	if r.InsecureSkipBind || v.o.Bind == bind.Disabled {
		return nil
	}
	peer := r.Peer
	if r.Identify != nil && len(verified.Token.Bind) > 0 {
		peer = r.Identify()
	}
	return v.o.Bind.Check(verified.Token.Bind, peer)
}

// standing says whether the signer of a verified token still counts.
func (v *Validator) standing(verified *Verified, now time.Time) *Error {
	// Its validity is that of the chain it has now: that of the time when the token was verified may have had another CA.
	signer := v.o.Signers.Current().Find(verified.signer)
	if signer == nil {
		return refuse(UnknownSigner, errors.New("the certificate that signed the token is no longer a signing certificate"))
	}
	if !signer.ValidAt(now) {
		return refuse(SignerExpired, nil)
	}
	return nil
}

// revoked looks a signed token up in the revocation list, and puts it to the Identity service where the list cannot decide.
func (v *Validator) revoked(ctx context.Context, verified *Verified, now time.Time, expired bool) *Error {
	if v.o.Revocations == nil {
		return nil // InsecureSkipRevocation
	}
	// In this order: a list that comes in between is newer than what was found fresh, never older.
	fresh := v.o.Revocations.Fresh(now)
	list := v.o.Revocations.Current()
	if !list.Empty() { // else the hashes of the text need not be made
		for _, id := range v.ids(verified) {
			if list.ContainsID(id) {
				return refuse(Revoked, nil)
			}
		}
	}
	for _, id := range verified.Token.AuditIDs {
		if list.ContainsAuditID(id) {
			return refuse(Revoked, nil)
		}
	}
	if !fresh {
		switch {
		case v.o.Stale == revocation.PolicyOnline && v.o.Online != nil:
			return v.vouch(ctx, verified, now, expired)
		case v.o.Stale == revocation.PolicyAccept && list != nil:
		default:
			return refuse(RevocationStale, nil)
		}
	}
	decidable, listed := v.decidable(verified, list)
	switch {
	case listed:
		return refuse(Revoked, nil)
	case expired:
		// Lists commonly forget tokens that have expired, so an absent one says nothing.
		if v.o.Online != nil {
			return v.vouch(ctx, verified, now, expired)
		}
		return refuse(Expired, errors.New("the revocation list does not cover expired tokens"))
	case decidable:
		return nil
	case v.o.UndecidableOnline && v.o.Online != nil:
		return v.vouch(ctx, verified, now, expired)
	}
	return refuse(Undecidable, errors.New("the revocation list names tokens by id alone, and this token can have been issued in a text that is not known here"))
}
