package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// refetches is when an operator last had everything fetched.
type refetches struct {
	mu   sync.Mutex
	last time.Time
}

// begin says how long to wait yet; 0 is to begin now.
func (r *refetches) begin(cooldown time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if left := cooldown - time.Since(r.last); !r.last.IsZero() && left > 0 {
		return left
	}
	r.last = time.Now()
	return 0
}

// refetch fetches certificates, revocation list and events now, and reads files again, instead of in their own time; at most once in
// cert_refresh_cooldown. The outcome has a word for each, "ok" or what went wrong.
func (p *parts) refetch(ctx context.Context) (outcome any, ok bool, again time.Duration) {
	if again = p.asked.begin(p.settings.token.CertRefreshCooldown); again > 0 {
		return nil, false, again
	}
	words, ok := map[string]string{}, true
	say := func(what string, err error) {
		words[what] = "ok"
		if err != nil {
			words[what], ok = err.Error(), false
		}
	}
	if p.certificates != nil { // first: the list may be signed by a new signer
		say("certificates", p.certificates.Renew(ctx))
	}
	switch {
	case p.list == nil:
	case p.list.Status().LongPoll:
		words["revocation"] = "ok: the Identity service tells of each revocation at once"
	default:
		if err := p.list.Poll(ctx); !p.list.Absent() {
			say("revocation", err)
		}
	}
	if p.events != nil {
		if err := p.events.Poll(ctx); p.events.Offered() || err == nil {
			say("revocation_events", err)
		}
	}
	for _, w := range p.watchers {
		w.Look()
		if failed := w.Status().LastError; failed != "" {
			words[w.What], ok = failed, false
		} else {
			words[w.What] = "ok"
		}
	}
	p.log.Info("fetched again, as the operator asked", slog.Any("outcome", words))
	return words, ok, 0
}

// followHangups refetches at each SIGHUP until ctx ends. One that comes within the cooldown is followed at its end.
func (p *parts) followHangups(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
		}
		for {
			_, _, again := p.refetch(ctx)
			if again == 0 {
				break
			}
			timer := time.NewTimer(again)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-timer.C:
			}
		}
	}
}
