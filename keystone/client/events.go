package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"authproxy/revocation/events"
)

// FetchRevocationEvents gets revocation events, GET /v3/OS-REVOKE/events, with the own token: those that happened after since,
// all for the zero Time. The error wraps events.ErrNotOffered at 403, 404 or 410. It is an events.Source.
func (c *Client) FetchRevocationEvents(ctx context.Context, since time.Time) ([]byte, error) {
	const doing = "fetching revocation events"
	r := call{doing: doing, method: http.MethodGet, url: c.endpoints.Load().v3 + "/OS-REVOKE/events", limit: c.options.MaxListSize, timeout: c.options.ListTimeout}
	if !since.IsZero() {
		r.url += "?since=" + url.QueryEscape(since.UTC().Format("2006-01-02T15:04:05.000000Z"))
	}
	a, err := c.sendOwn(ctx, r)
	switch {
	case err != nil:
		return nil, err
	case saysNoPKI(a.status):
		return nil, fmt.Errorf("%s: %w (it answered %d)", doing, events.ErrNotOffered, a.status)
	case a.status != http.StatusOK:
		return nil, answered(doing, a.status)
	}
	return a.body, nil
}
