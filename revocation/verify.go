package revocation

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"authproxy/certs"
	"authproxy/certs/cms"
)

// read makes a state of a signed list. Nothing of the list is looked at before its signature holds.
func (p *Poller) read(ctx context.Context, signed []byte) (*state, error) {
	der, err := cms.DecodePEM(signed)
	if err != nil {
		return nil, fmt.Errorf("revocation list: %w", err)
	}
	sd, err := cms.Parse(der)
	if err != nil {
		return nil, fmt.Errorf("revocation list: %w", err)
	}
	signer, err := p.verify(ctx, &sd)
	if err != nil {
		return nil, fmt.Errorf("revocation list: %w", err)
	}
	st := &state{signer: signer, sum: sha256.Sum256(sd.Content)}
	if old := p.current.Load(); old != nil && old.sum == st.sum && old.usable(p.now()) {
		st.snapshot, st.built = old.snapshot.of(old.snapshot.layers...), old.built
		return st, nil
	}
	list, err := ParseList(sd.Content)
	if err != nil {
		return nil, err
	}
	st.built = p.now()
	st.snapshot = newSnapshot(list.Entries, st.built.Add(-or(p.AllowExpiredWindow, DefaultAllowExpiredWindow)))
	return st, nil
}

// usable says that an index need not be built anew: its content is the same, and no time has passed (or was taken back) that
// would change much about which entries can be left out.
func (st *state) usable(now time.Time) bool {
	age := now.Round(0).Sub(st.built.Round(0))
	return 0 <= age && age < rebuildAfter
}

// verify finds the signer. Where the pinned certificates do not do, it asks once whether there are newer ones: after a
// rotation the next list often comes before the next fetch of certificates, and the new certificate may have the issuer and
// serial number of the old one.
func (p *Poller) verify(ctx context.Context, sd *cms.SignedData) (*certs.Signer, error) {
	bundle := p.Verifier.Current()
	signer, err := bundle.Verify(sd, p.now())
	if !errors.Is(err, certs.ErrUnknownSigner) && !errors.Is(err, certs.ErrSignature) && !errors.Is(err, certs.ErrSignerExpired) {
		return signer, err
	}
	ctx, cancel := context.WithTimeout(ctx, or(p.Timeout, DefaultTimeout))
	defer cancel()
	newer, refreshErr := p.Verifier.Refresh(ctx, bundle)
	if newer != bundle {
		if signer, err = newer.Verify(sd, p.now()); err == nil {
			return signer, nil
		}
	}
	if refreshErr != nil {
		return nil, fmt.Errorf("%w; newer signing certificates: %w", err, refreshErr)
	}
	return nil, err
}
