package client

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authproxy/revocation/events"
)

func TestFetchRevocationEvents(t *testing.T) {
	var status int
	var asked *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("X-Subject-Token", "own")
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(`{"token":{"expires_at":"2100-01-01T00:00:00.000000Z","user":{"id":"u"}}}`))
			return
		}
		asked = r
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"events":[]}`))
	}))
	defer server.Close()
	c := newClient(t, Options{AuthURL: server.URL, UserID: "u", Password: "p"})
	since := time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("", 3600))
	for _, tt := range []struct {
		status int
		since  time.Time
		query  string
		err    error
	}{
		{200, time.Time{}, "", nil},
		{200, since, "since=2026-01-02T02%3A04%3A05.678901Z", nil},
		{403, since, "since=2026-01-02T02%3A04%3A05.678901Z", events.ErrNotOffered},
		{404, time.Time{}, "", events.ErrNotOffered},
		{410, time.Time{}, "", events.ErrNotOffered},
		{503, time.Time{}, "", ErrUnavailable},
		{400, time.Time{}, "", ErrUnavailable},
	} {
		status = tt.status
		body, err := c.FetchRevocationEvents(t.Context(), tt.since)
		if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || err == nil && string(body) != `{"events":[]}` {
			t.Errorf("%d: %q, %v", tt.status, body, err)
		}
		if asked.URL.Path != "/v3/OS-REVOKE/events" || asked.URL.RawQuery != tt.query || asked.Header.Get("X-Auth-Token") != "own" {
			t.Errorf("%d: asked %s with %v", tt.status, asked.URL, asked.Header)
		}
		if err != nil && strings.Contains(err.Error(), "own") {
			t.Errorf("the token is in %v", err)
		}
	}
}
