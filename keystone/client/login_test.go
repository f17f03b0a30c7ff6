package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoginBody(t *testing.T) {
	const user = `{"auth":{"identity":{"methods":["password"],"password":{"user":`
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"names and project", Options{Username: "u", UserDomainName: "D", ProjectName: "p", ProjectDomainID: "e"},
			user + `{"name":"u","domain":{"name":"D"},"password":"x"}}},"scope":{"project":{"name":"p","domain":{"id":"e"}}}}}`},
		{"ids win over names", Options{UserID: "1", Username: "u", UserDomainID: "d", ProjectID: "2", ProjectName: "p"},
			user + `{"id":"1","password":"x"}}},"scope":{"project":{"id":"2"}}}}`},
		{"domain scope", Options{UserID: "1", DomainName: "D"}, user + `{"id":"1","password":"x"}}},"scope":{"domain":{"name":"D"}}}}`},
		{"domain scope by id", Options{UserID: "1", DomainID: "d"}, user + `{"id":"1","password":"x"}}},"scope":{"domain":{"id":"d"}}}}`},
		{"no scope", Options{UserID: "1"}, user + `{"id":"1","password":"x"}}}}}`},
		{"system", Options{UserID: "1", SystemScope: "all"}, user + `{"id":"1","password":"x"}}},"scope":{"system":{"all":true}}}}`},
		{"trust", Options{UserID: "1", TrustID: "t"}, user + `{"id":"1","password":"x"}}},"scope":{"OS-TRUST:trust":{"id":"t"}}}}`},
		{"application credential", Options{ApplicationCredentialID: "a", ApplicationCredentialSecret: "s"},
			`{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"id":"a","secret":"s"}}}}`},
		{"application credential by name", Options{ApplicationCredentialName: "n", ApplicationCredentialSecret: "s", Username: "u", UserDomainID: "d"},
			`{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"name":"n","user":{"name":"u","domain":{"id":"d"}},"secret":"s"}}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := newIdentity(t)
			tt.o.AuthURL, tt.o.Password, tt.o.CAFile = id.URL+"/v3/", "x", id.caFile(t)
			c := newClient(t, tt.o)
			if got := c.OwnTokenText(); got != "" {
				t.Errorf("a token before the login: %q", got)
			}
			if got := token(t, c); got != "own-1" || c.OwnTokenText() != got {
				t.Errorf("got %q and %q", got, c.OwnTokenText())
			}
			if len(id.bodies) != 1 || id.bodies[0] != tt.want {
				t.Errorf("got %s, want %s", id.bodies, tt.want)
			}
			if got := id.requests(); got[0] != "POST /v3/auth/tokens?nocatalog" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestNoLogin(t *testing.T) {
	c := newClient(t, Options{AuthURL: "https://h"})
	if _, err := c.Token(t.Context()); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errNoLogin) {
		t.Errorf("got %v", err)
	}
}

func TestRenewalAheadOfExpiry(t *testing.T) {
	for _, tt := range []struct{ life, keep, renew time.Duration }{
		{time.Hour, 58*time.Minute - time.Second, 58 * time.Minute}, // two minutes ahead
		{4 * time.Minute, 179 * time.Second, 180 * time.Second},     // a quarter of its life
		{8 * time.Second, 5 * time.Second, 6 * time.Second},
	} {
		id := newIdentity(t)
		id.life = tt.life
		c := newClient(t, id.options(t))
		token(t, c)
		id.clock.add(tt.keep)
		if got := token(t, c); got != "own-1" {
			t.Errorf("%v: renewed %v before its end", tt.life, tt.life-tt.keep)
		}
		id.clock.add(tt.renew - tt.keep)
		if got := token(t, c); got != "own-2" {
			t.Errorf("%v: not renewed %v before its end", tt.life, tt.life-tt.renew)
		}
	}
}

// TestClocksApart: the token's life counts, not the service's idea of the time.
func TestClocksApart(t *testing.T) {
	for _, apart := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		id := newIdentity(t)
		id.login = issue("own-1", id.clock.Now().Add(apart), time.Hour)
		c := newClient(t, id.options(t))
		token(t, c)
		id.clock.add(57 * time.Minute)
		token(t, c)
		if id.count() != 1 {
			t.Errorf("%v apart: %d logins", apart, id.count())
		}
		id.clock.add(2 * time.Minute)
		token(t, c)
		if id.count() != 2 {
			t.Errorf("%v apart: not renewed", apart)
		}
	}
}

func TestLoginAnswers(t *testing.T) {
	const good = `{"token":{"expires_at":"2030-01-02T04:04:05.000000Z"}}`
	answer := func(status int, header, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Subject-Token", header)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for _, tt := range []struct {
		name  string
		login http.HandlerFunc
		want  string // "" for a good login
	}{
		{"no issued_at", answer(201, "own-1", good), ""},
		{"status 200", answer(200, "own-1", good), ""},
		{"no fraction", answer(201, "own-1", `{"token":{"expires_at":"2030-01-02T04:04:05Z"}}`), ""},
		{"no zone", answer(201, "own-1", `{"token":{"expires_at":"2030-01-02T04:04:05.000000"}}`), ""},
		{"wrong password", fails(401), "it answered 401 Unauthorized; check the proxy's user, password, domain and project"},
		{"not there", fails(404), "it answered 404 Not Found for "},
		{"broken", fails(500), "it answered 500 Internal Server Error"},
		{"odd status", answer(299, "own-1", good), "it answered 299"},
		{"no token", answer(201, "", good), "the answer has no X-Subject-Token that can be used"},
		{"token with a blank", answer(201, "own 1", good), "the answer has no X-Subject-Token that can be used"},
		{"no JSON", answer(201, "own-1", "<html>"), "the answer is not the JSON of a token"},
		{"no expiry", answer(201, "own-1", `{"token":{}}`), "the answer has no expiry that can be read"},
		{"expired", answer(201, "own-1", `{"token":{"expires_at":"2030-01-02T03:04:05Z"}}`), "it issued a token that has already expired; compare the clocks"},
		{"long", answer(201, "own-1", strings.Repeat(" ", maxTokenBody+1)), "the answer is longer than 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := newIdentity(t)
			id.login = tt.login
			c := newClient(t, id.options(t))
			got, err := c.Token(t.Context())
			if tt.want == "" {
				if err != nil || got != "own-1" {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if !errors.Is(err, ErrUnavailable) || !strings.HasPrefix(err.Error(), "logging in: the Identity service cannot say: "+tt.want) || c.OwnTokenText() != "" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestOldTokenServes while the service cannot renew it, and no longer than it lives.
func TestOldTokenServes(t *testing.T) {
	id := newIdentity(t)
	c := newClient(t, id.options(t))
	token(t, c)
	id.set(func() { id.login = fails(http.StatusServiceUnavailable) })
	id.clock.add(59 * time.Minute)
	for range 3 {
		if got := token(t, c); got != "own-1" {
			t.Errorf("got %q", got)
		}
	}
	if id.count() != 2 {
		t.Errorf("%d logins; a failed one is not to be tried again within a second", id.count())
	}
	id.clock.add(time.Minute)
	if got, err := c.Token(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %q, %v after its end", got, err)
	}
	id.set(func() { id.login = nil })
	id.clock.add(failedPause)
	if got := token(t, c); got != "own-4" {
		t.Errorf("got %q after the service came back", got)
	}
}

// TestRefusedLoginIsNotRepeated: strangers' tokens cause logins, and must not lock the proxy's account.
func TestRefusedLoginIsNotRepeated(t *testing.T) {
	id := newIdentity(t)
	id.login = fails(http.StatusUnauthorized)
	c := newClient(t, id.options(t))
	for range 10 {
		if _, err := c.Validate(t.Context(), "some-token", false); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		id.clock.add(refusedPause / 10)
	}
	if id.count() != 1 {
		t.Errorf("%d logins in %v", id.count(), refusedPause)
	}
	if _, err := c.Token(t.Context()); err == nil || id.count() != 2 {
		t.Errorf("%v after %d logins", err, id.count())
	}
}

func TestConcurrentCallersLogInOnce(t *testing.T) {
	id := newIdentity(t)
	began, release := make(chan struct{}), make(chan struct{})
	answer := issue("own-1", id.clock.Now(), time.Hour)
	id.login = func(w http.ResponseWriter, r *http.Request) {
		began <- struct{}{} // a second login would wait here for ever
		<-release
		answer(w, r)
	}
	c := newClient(t, id.options(t))
	const callers = 50
	var wg sync.WaitGroup
	results := make(chan string, callers)
	for range callers {
		wg.Go(func() {
			text, err := c.Token(t.Context())
			results <- fmt.Sprint(text, err)
		})
	}
	<-began
	close(release)
	wg.Wait()
	close(results)
	for r := range results {
		if r != "own-1<nil>" {
			t.Errorf("got %s", r)
		}
	}
	if id.count() != 1 {
		t.Errorf("%d logins", id.count())
	}
}

// TestLoginOutlivesItsCaller: who gives up takes nobody along.
func TestLoginOutlivesItsCaller(t *testing.T) {
	id := newIdentity(t)
	began, release := make(chan struct{}), make(chan struct{})
	answer := issue("own-1", id.clock.Now(), time.Hour)
	id.login = func(w http.ResponseWriter, r *http.Request) {
		close(began) // only once
		<-release
		answer(w, r)
	}
	c := newClient(t, id.options(t))
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := c.Token(ctx)
		first <- err
	}()
	<-began
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	close(release)
	if got := token(t, c); got != "own-1" {
		t.Errorf("got %q", got)
	}
}

// TestConcurrent401 sends many callers into a 401 at once: one login serves them all.
func TestConcurrent401(t *testing.T) {
	id := newIdentity(t)
	id.routes["/v3/auth/tokens"] = text(`{"token":{}}`)
	c := newClient(t, id.options(t))
	token(t, c)
	id.set(func() { id.refused["own-1"] = true })
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if _, err := c.Validate(t.Context(), "some-token", false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if id.count() != 2 {
		t.Errorf("%d logins", id.count())
	}
}

func TestOwnTokenRefusedForEver(t *testing.T) {
	id := newIdentity(t)
	c := newClient(t, id.options(t))
	for n := range 100 {
		id.refused[fmt.Sprint("own-", n)] = true
	}
	for range 20 {
		if _, err := c.Validate(t.Context(), "some-token", false); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errRefused) {
			t.Fatalf("got %v", err)
		}
	}
	if id.count() != 2 {
		t.Errorf("%d logins within %v", id.count(), forcedPause)
	}
	id.clock.add(forcedPause)
	if _, err := c.Validate(t.Context(), "some-token", false); err == nil || id.count() != 3 {
		t.Errorf("%v after %d logins", err, id.count())
	}
	id.set(func() { clear(id.refused); id.routes["/v3/auth/tokens"] = text(`{"token":{}}`) })
	if _, err := c.Validate(t.Context(), "some-token", false); err != nil {
		t.Errorf("%v after the service came to its senses", err)
	}
}

// TestRefusedTokenServesNobody, even while no new one is to be had.
func TestRefusedTokenServesNobody(t *testing.T) {
	id := newIdentity(t)
	c := newClient(t, id.options(t))
	token(t, c)
	id.set(func() { id.refused["own-1"] = true; id.login = fails(http.StatusServiceUnavailable) })
	if _, err := c.Validate(t.Context(), "some-token", false); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if got, err := c.Token(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %q, %v", got, err)
	}
}

// noRoute is a network without the service, until it has failed so many times.
type noRoute struct {
	failures int
	times    []time.Time
	err      error
}

func (n *noRoute) RoundTrip(*http.Request) (*http.Response, error) {
	n.times = append(n.times, time.Now())
	if len(n.times) <= n.failures {
		return nil, n.err
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("pem"))}, nil
}

func TestRetries(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for _, tt := range []struct {
		name     string
		retries  int
		route    noRoute
		attempts int
		good     bool
	}{
		{"none", 0, noRoute{failures: 1, err: refused}, 1, false},
		{"one is enough", 3, noRoute{failures: 1, err: refused}, 2, true},
		{"the last one", 3, noRoute{failures: 3, err: refused}, 4, true},
		{"one too many", 3, noRoute{failures: 4, err: refused}, 4, false},
		{"many", 9, noRoute{failures: 20, err: refused}, 10, false},
		{"not for what was sent", 3, noRoute{failures: 4, err: io.ErrUnexpectedEOF}, 1, false},
		{"not for a broken read", 3, noRoute{failures: 4, err: &net.OpError{Op: "read", Net: "tcp", Err: errors.New("reset")}}, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, Options{AuthURL: "https://h", HTTPClient: &http.Client{Transport: &tt.route}, Retries: tt.retries})
				_, err := c.certificates(t.Context(), "https://h/")
				if (err == nil) != tt.good || err != nil && !errors.Is(err, ErrUnavailable) {
					t.Errorf("got %v", err)
				}
				if len(tt.route.times) != tt.attempts {
					t.Fatalf("%d attempts, want %d", len(tt.route.times), tt.attempts)
				}
				for i := 1; i < tt.attempts; i++ {
					most := min(500*time.Millisecond<<(i-1), 8*time.Second)
					if pause := tt.route.times[i].Sub(tt.route.times[i-1]); pause < most/2 || pause > most {
						t.Errorf("pause %d was %v, want %v to %v", i, pause, most/2, most)
					}
				}
			})
		})
	}
}

func TestRetriesEndWithTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		route := &noRoute{failures: 1000, err: &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}}
		c := newClient(t, Options{AuthURL: "https://h", HTTPClient: &http.Client{Transport: route}, Retries: 1000})
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := c.certificates(ctx, "https://h/"); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took != 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestConnectionRefused(t *testing.T) {
	id := newIdentity(t)
	o := id.options(t)
	id.Close()
	_, err := newClient(t, o).Token(t.Context())
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "connection refused") || !noConnection(err) {
		t.Errorf("got %v", err)
	}
}
