package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"authproxy/validate"
	"authproxy/validate/bind"
)

// changing is a Validator whose tokens a test can take away.
type changing struct {
	mu   sync.Mutex
	errs map[string]error
	tokens
}

func (c *changing) Validate(ctx context.Context, r validate.Request) (*validate.Verified, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.errs[r.Token]; err != nil {
		return nil, err
	}
	return c.tokens.Validate(ctx, r)
}

func (c *changing) set(text string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs[text] = err
}

func (c *changing) expires(text string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens[text].verified.Token.ExpiresAt = at
}

// What the upstream begins, by path; it goes on until the connection ends.
var beginnings = map[string]string{
	"/ws":       "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
	"/sse":      "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	"/download": "HTTP/1.1 200 OK\r\nContent-Type: image/raw\r\nContent-Length: 2000000\r\n\r\nhello",
	"/endless":  "HTTP/1.1 200 OK\r\nContent-Type: image/raw\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	"/small":    "HTTP/1.1 200 OK\r\nContent-Type: image/raw\r\nContent-Length: 200000\r\n\r\nhello",
}

type streamRig struct {
	*rig
	validator *changing
	streams   *Streams
	cut       chan string // paths whose connection to the upstream has ended
}

func newStreamRig(t *testing.T, change func(*Handler), kinds ...string) *streamRig {
	up := newUpstream(t)
	s := &streamRig{validator: &changing{errs: map[string]error{}, tokens: knownTokens()}, cut: make(chan string, 10)}
	up.answer = func(c net.Conn, r *bufio.Reader, got *request) {
		path := strings.Fields(got.line)[1]
		fmt.Fprint(c, beginnings[path])
		_, _ = io.Copy(io.Discard, r)
		s.cut <- path
	}
	s.rig = newRigOn(t, up, func(h *Handler) {
		s.streams = NewStreams(kinds, prometheus.NewRegistry())
		s.streams.Now = func() time.Time { return time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC) }
		s.streams.Log = h.Log
		h.Streams, h.Validator = s.streams, s.validator
		if change != nil {
			change(h)
		}
	})
	return s
}

// begin starts an exchange and waits for its first bytes.
func (s *streamRig) begin(path, headers string) net.Conn {
	s.t.Helper()
	c := s.dial()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n%s\r\n", path, headers)
	seen := ""
	for b := make([]byte, 1); !strings.HasSuffix(seen, "hello"); {
		if _, err := io.ReadFull(c, b); err != nil {
			s.t.Fatalf("%s: %v after %q", path, err, seen)
		}
		seen += string(b)
	}
	return c
}

// ended waits for both ends of an exchange to notice.
func (s *streamRig) ended(path string, c net.Conn) {
	s.t.Helper()
	if rest, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") || strings.HasSuffix(string(rest), "0\r\n\r\n") {
		s.t.Errorf("%s: to the client it looks complete, or did not end: %q %v", path, rest, err)
	}
	if got := <-s.cut; got != path {
		s.t.Errorf("%s ended at the upstream, not %s", got, path)
	}
}

func (s *streamRig) watched() int {
	s.streams.mu.Lock()
	defer s.streams.mu.Unlock()
	return len(s.streams.open)
}

func TestStreamsEndWithTheirTokens(t *testing.T) {
	t.Parallel()
	const alice = "X-Auth-Token: alice\r\n"
	s := newStreamRig(t, nil, streamKinds...)
	for path, kind := range map[string]string{"/ws": streamWebSocket, "/sse": streamSSE, "/download": streamDownload, "/endless": streamDownload} {
		for _, reason := range []validate.Reason{validate.Expired, validate.Revoked} {
			c := s.begin(path, alice)
			s.streams.sweep(t.Context())
			if n := s.watched(); n != 1 {
				t.Errorf("%s: %d are watched after a good judgement", path, n)
			}
			s.validator.set("alice", refuse(reason, nil))
			s.streams.sweep(t.Context())
			s.ended(path, c)
			s.validator.set("alice", nil)
			if log := s.logs.String(); !strings.Contains(log, fmt.Sprintf("reason=%s kind=%s", reason, kind)) {
				t.Errorf("not in the log: %s %s", kind, reason)
			}
		}
	}
	if n := s.watched(); n != 0 {
		t.Errorf("%d are still watched", n)
	}

	// What is not watched, or is over, is left alone.
	small := s.begin("/small", alice)
	if n := s.watched(); n != 0 {
		t.Errorf("%d are watched", n)
	}
	small.Close()
	<-s.cut
	gone := s.begin("/sse", alice)
	gone.Close()
	<-s.cut
	s.eventually("it is no longer watched", func() bool { return s.watched() == 0 })
}

func TestStreamsByKind(t *testing.T) {
	t.Parallel()
	s := newStreamRig(t, nil, streamWebSocket)
	for path, want := range map[string]int{"/ws": 1, "/sse": 0, "/download": 0} {
		c := s.begin(path, "X-Auth-Token: alice\r\n")
		if n := s.watched(); n != want {
			t.Errorf("%s: %d are watched", path, n)
		}
		c.Close()
		<-s.cut
		s.eventually("over", func() bool { return s.watched() == 0 })
	}
	if _, err := ParseStreamKinds([]string{"websocket", "tea"}); err == nil || !strings.Contains(err.Error(), "tea") {
		t.Error(err)
	}
}

// Nobody can tell: the stream goes on, but not past the time that the token itself names.
func TestStreamsThatNobodyCanJudge(t *testing.T) {
	t.Parallel()
	s := newStreamRig(t, nil, streamWebSocket)
	end := s.streams.Now().Add(time.Minute)
	s.validator.expires("alice", end)
	s.validator.expires("nova", end.Add(time.Hour))
	down := refuse(validate.IdentityUnavailable, nil)

	c := s.begin("/ws", "X-Auth-Token: alice\r\n")
	s.validator.set("alice", down)
	s.streams.sweep(t.Context())
	if s.watched() != 1 {
		t.Error("cut off, though nobody said that the token is bad")
	}
	s.streams.Now = func() time.Time { return end }
	s.streams.sweep(t.Context())
	s.ended("/ws", c)

	// Beside a service token a user's may be older than that; the service token then has to hold.
	s.validator.set("alice", nil)
	c = s.begin("/ws", "X-Auth-Token: alice\r\nX-Service-Token: nova\r\n")
	s.validator.set("alice", down)
	s.streams.sweep(t.Context())
	if s.watched() != 1 {
		t.Error("cut off beside a service token")
	}
	s.validator.set("nova", refuse(validate.Revoked, nil))
	s.streams.sweep(t.Context())
	s.ended("/ws", c)
}

// once is a sender who can show who he is one time, as by a ticket.
type once struct{ asked atomic.Int32 }

func (o *once) Identify(*http.Request) (bind.Peer, string, error) {
	if o.asked.Add(1) > 1 {
		return bind.Peer{}, "", errors.New("this ticket was used before")
	}
	return bind.Peer{RemoteUser: "alice", AuthType: "Negotiate"}, "", nil
}

// A ticket counts once, and the sender is asked who he is once: the stream of a bound token goes on.
func TestStreamsOfBoundTokens(t *testing.T) {
	t.Parallel()
	var alice once
	s := newStreamRig(t, func(h *Handler) { h.Peers = &alice }, streamWebSocket)
	c := s.begin("/ws", "X-Auth-Token: bound\r\n")
	for range 3 {
		s.streams.sweep(t.Context())
	}
	if n := alice.asked.Load(); s.watched() != 1 || n != 1 {
		t.Errorf("%d are watched, asked %d times", s.watched(), n)
	}
	c.Close()
	<-s.cut
}

// In delay mode, what was passed on without an identity has none to lose, and a bad service token is no news.
func TestStreamsInDelayMode(t *testing.T) {
	t.Parallel()
	s := newStreamRig(t, func(h *Handler) { h.DelayAuthDecision = true }, streamWebSocket)
	nobody, both := s.begin("/ws", "X-Auth-Token: junk\r\n"), s.begin("/ws", "X-Auth-Token: alice\r\nX-Service-Token: junk\r\n")
	s.streams.sweep(t.Context())
	if n := s.watched(); n != 1 {
		t.Errorf("%d are watched", n)
	}
	s.validator.set("alice", refuse(validate.Revoked, nil))
	s.streams.sweep(t.Context())
	s.ended("/ws", both)
	nobody.Close()
	<-s.cut
}
