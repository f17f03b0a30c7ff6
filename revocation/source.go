package revocation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"authproxy/revocation/pace"
)

// Source is where signed revocation lists come from. keystone/client has the one that asks the Identity service.
type Source interface {
	// FetchRevocationList returns a CMS message as PEM: the "signed" member of what the Identity service answers. The error
	// is certs.ErrNoPKI when this Keystone says that it has no list. The call ends when ctx does, and tells pace.Progress of what
	// comes, for ctx ends early where nothing does.
	FetchRevocationList(ctx context.Context) (signed []byte, err error)
}

// ConditionalSource is a Source that can be asked for what is new.
type ConditionalSource interface {
	Source
	// FetchRevocationChanges is like FetchRevocationList for somebody who has a list already. The zero Have has none.
	FetchRevocationChanges(ctx context.Context, have Have) (Answer, error)
}

// Have is what the one who asks has, and how long he is ready to wait for something newer.
type Have struct {
	// Sequence is that of the list in force; 0 for one without, and for none. With one, the answer may be a delta from it.
	Sequence uint64
	// ETag is what came with the last answer; "" if there was none. Without one there is no waiting.
	ETag string
	// Wait is how long the source may hold its answer back while it has nothing new, in whole seconds; 0: not at all.
	Wait time.Duration
}

// Answer is what a ConditionalSource says.
type Answer struct {
	// Signed is a list or a delta: a CMS message as PEM.
	Signed []byte
	// NotModified says that there is nothing newer than what the ETag in the question stands for. Signed is empty.
	NotModified bool
	ETag        string
	// WaitApplied says that the source was ready to wait.
	WaitApplied bool
}

// fetch asks the source, and gives up on one that does not come back (a file on a dead network drive): Status has to say so.
// There is no second fetch before the first one has returned.
func (p *Poller) fetch(ctx context.Context, have Have) (Answer, error) {
	timeout := or(p.Timeout, DefaultTimeout)
	ctx, cancel := pace.WithLimit(ctx, pace.Limit{First: timeout + have.Wait, Quiet: timeout, Rate: minRate, Most: mostTime})
	defer cancel()
	if p.fetching != nil {
		select {
		case <-p.fetching: // too late to be of use
		case <-ctx.Done():
			return Answer{}, &fetchError{errors.New("an earlier fetch has not returned")}
		}
	}
	result := make(chan fetched, 1)
	go func() {
		var f fetched
		if source, ok := p.Source.(ConditionalSource); ok {
			f.answer, f.err = source.FetchRevocationChanges(ctx, have)
		} else {
			f.answer.Signed, f.err = p.Source.FetchRevocationList(ctx)
		}
		result <- f
	}()
	p.fetching = result
	var f fetched
	select {
	case f = <-result:
	case <-ctx.Done():
		select {
		case f = <-result: // as a Source should
		case <-time.After(grace):
			return Answer{}, &fetchError{fmt.Errorf("%w, and the source did not stop", context.Cause(ctx))}
		}
	}
	p.fetching = nil
	if slow := (*pace.SlowError)(nil); f.err != nil && errors.As(context.Cause(ctx), &slow) {
		f.err = fmt.Errorf("%w: %w", slow, f.err)
	}
	if f.err != nil {
		return Answer{}, &fetchError{f.err}
	}
	return f.answer, nil
}

type fetched struct {
	answer Answer
	err    error
}

// fetchError tells what went wrong at the source from what is wrong with a list.
type fetchError struct{ err error }

func (e *fetchError) Error() string { return "fetching the revocation list: " + e.err.Error() }
func (e *fetchError) Unwrap() error { return e.err }
