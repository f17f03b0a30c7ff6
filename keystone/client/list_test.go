package client

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"authproxy/revocation"
)

// TestFetchRevocationChanges looks at what goes over the wire, and what is made of the answer.
func TestFetchRevocationChanges(t *testing.T) {
	const tag = `"17-1767323045"`
	signed := `{"signed":"-----BEGIN CMS-----\nMII=\n-----END CMS-----\n"}`
	pem := "-----BEGIN CMS-----\nMII=\n-----END CMS-----\n"
	for _, tt := range []struct {
		name   string
		have   revocation.Have
		status int
		header http.Header
		// what the service sees
		query, match, prefer string
		want                 revocation.Answer
		err                  error
	}{
		{name: "nothing", status: 200, header: http.Header{"Etag": {tag}}, want: revocation.Answer{Signed: []byte(pem), ETag: tag}},
		{name: "a sequence", have: revocation.Have{Sequence: 17}, status: 200, query: "since=17", want: revocation.Answer{Signed: []byte(pem)}},
		{name: "all", have: revocation.Have{Sequence: 17, ETag: tag, Wait: 30 * time.Second}, status: 200,
			header: http.Header{"Etag": {`W/"x"`}, "Preference-Applied": {"wait=30"}}, query: "since=17", match: tag, prefer: "wait=30",
			want: revocation.Answer{Signed: []byte(pem), ETag: `W/"x"`, WaitApplied: true}},
		{name: "not modified", have: revocation.Have{Sequence: 17, ETag: tag, Wait: 1500 * time.Millisecond}, status: 304,
			header: http.Header{"Preference-Applied": {"respond-async, WAIT=1"}}, query: "since=17", match: tag, prefer: "wait=1",
			want: revocation.Answer{NotModified: true, ETag: tag, WaitApplied: true}},
		{name: "wait without ETag", have: revocation.Have{Sequence: 17, Wait: time.Minute}, status: 200, header: http.Header{"Preference-Applied": {"wait=60"}},
			query: "since=17", want: revocation.Answer{Signed: []byte(pem)}},
		{name: "wait too long", have: revocation.Have{ETag: tag, Wait: time.Hour}, status: 200, match: tag, prefer: "wait=60", want: revocation.Answer{Signed: []byte(pem)}},
		{name: "wait too short", have: revocation.Have{ETag: tag, Wait: time.Second - 1}, status: 304, match: tag, want: revocation.Answer{NotModified: true, ETag: tag}},
		{name: "other preference", have: revocation.Have{ETag: tag, Wait: time.Second}, status: 304, header: http.Header{"Preference-Applied": {"waiting=1"}},
			match: tag, prefer: "wait=1", want: revocation.Answer{NotModified: true, ETag: tag}},
		{name: "tags that are none", status: 200, header: http.Header{"Etag": {`17`}}, want: revocation.Answer{Signed: []byte(pem)}},
		{name: "two tags", status: 200, header: http.Header{"Etag": {`"a", "b"`}}, want: revocation.Answer{Signed: []byte(pem)}},
		{name: "not modified to one who had nothing", status: 304, err: ErrUnavailable},
		{name: "precondition failed", have: revocation.Have{ETag: tag}, status: 412, match: tag, err: ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := newIdentity(t)
			id.routes[revoked] = func(w http.ResponseWriter, r *http.Request) {
				if r.URL.RawQuery != tt.query || r.Header.Get("If-None-Match") != tt.match || r.Header.Get("Prefer") != tt.prefer {
					t.Errorf("asked %q, If-None-Match %q, Prefer %q", r.URL.RawQuery, r.Header.Get("If-None-Match"), r.Header.Get("Prefer"))
				}
				for name, values := range tt.header {
					w.Header()[name] = values
				}
				w.WriteHeader(tt.status)
				if tt.status == 200 {
					w.Write([]byte(signed))
				}
			}
			got, err := newClient(t, id.options(t)).FetchRevocationChanges(t.Context(), tt.have)
			if !errors.Is(err, tt.err) || string(got.Signed) != string(tt.want.Signed) || got.NotModified != tt.want.NotModified ||
				got.ETag != tt.want.ETag || got.WaitApplied != tt.want.WaitApplied {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// TestWaitMakesTheBoundLonger: a service that waits as long as it was allowed to is not slow, one that waits longer is.
func TestWaitMakesTheBoundLonger(t *testing.T) {
	id := newIdentity(t)
	late := make(chan struct{})
	defer close(late)
	id.routes[revoked] = func(w http.ResponseWriter, r *http.Request) {
		pause := time.Second
		if r.URL.RawQuery == "since=2" {
			pause = time.Minute
		}
		select {
		case <-time.After(pause):
		case <-late:
		case <-r.Context().Done():
		}
		w.WriteHeader(304)
	}
	o := id.options(t)
	o.ListTimeout = 400 * time.Millisecond
	c := newClient(t, o)
	have := revocation.Have{Sequence: 1, ETag: `"1"`, Wait: time.Second}
	if a, err := c.FetchRevocationChanges(t.Context(), have); err != nil || !a.NotModified {
		t.Errorf("got %+v, %v", a, err)
	}
	have.Sequence = 2
	if _, err := c.FetchRevocationChanges(t.Context(), have); !errors.Is(err, errSlow) {
		t.Errorf("got %v", err)
	}
}
