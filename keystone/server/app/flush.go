package app

import (
	"context"
	"errors"
	"fmt"

	"authproxy/keystone/server"
)

// Flush deletes what can no longer matter: long expired tokens with what was remembered of them, trusts and tokens of OAuth that have
// ended, and old failures of logins. It returns how many tokens it deleted.
func Flush(ctx context.Context, s *server.Server) (int, error) {
	n, err := s.Tokens.Flush(ctx)
	errs := []error{wrap("expired tokens", err)}
	if s.Trusts != nil {
		errs = append(errs, wrap("trusts that have ended", s.Trusts.Flush(ctx)))
	}
	errs = append(errs, wrap("tokens of OAuth that have ended", s.OAuth1.Flush(ctx)))
	_, err = s.Identity.FlushFailures(ctx)
	return n, errors.Join(append(errs, wrap("old failures of logins", err))...)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("removing %s: %w", what, err)
}
