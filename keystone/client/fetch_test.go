package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"authproxy/certs"
)

const (
	v3Signing, v3CA = "/v3/OS-SIMPLE-CERT/certificates", "/v3/OS-SIMPLE-CERT/ca"
	v2Signing, v2CA = "/v2.0/certificates/signing", "/v2.0/certificates/ca"
	revoked         = "/v3/auth/tokens/OS-PKI/revoked"
)

func TestFetch(t *testing.T) {
	for _, tt := range []struct {
		name        string
		routes      map[string]http.HandlerFunc
		signing, ca string
		err         error
	}{
		{"v3", map[string]http.HandlerFunc{v3Signing: text("s3"), v3CA: text("c3"), v2Signing: text("s2"), v2CA: text("c2")}, "s3", "c3", nil},
		{"v2.0", map[string]http.HandlerFunc{v2Signing: text("s2"), v2CA: text("c2")}, "s2", "c2", nil},
		{"v2.0 after 410", map[string]http.HandlerFunc{v3Signing: fails(410), v2Signing: text("s2"), v2CA: text("c2")}, "s2", "c2", nil},
		{"no CA", map[string]http.HandlerFunc{v3Signing: text("s3")}, "s3", "", nil},
		{"no PKI: 404", nil, "", "", certs.ErrNoPKI},
		{"no PKI: 410", map[string]http.HandlerFunc{v3Signing: fails(410), v2Signing: fails(410)}, "", "", certs.ErrNoPKI},
		{"no PKI: 403", map[string]http.HandlerFunc{v3Signing: fails(403), v2Signing: fails(403)}, "", "", certs.ErrNoPKI},
		{"500 is no word on PKI", map[string]http.HandlerFunc{v3Signing: fails(500), v2Signing: text("s2")}, "", "", ErrUnavailable},
		{"401 is no word on PKI", map[string]http.HandlerFunc{v3Signing: fails(401)}, "", "", ErrUnavailable},
		{"500 of v2.0", map[string]http.HandlerFunc{v2Signing: fails(500)}, "", "", ErrUnavailable},
		{"500 of the CA", map[string]http.HandlerFunc{v3Signing: text("s3"), v3CA: fails(500)}, "", "", ErrUnavailable},
		{"300", map[string]http.HandlerFunc{v3Signing: fails(300)}, "", "", ErrUnavailable},
		{"huge", map[string]http.HandlerFunc{v3Signing: endless}, "", "", ErrUnavailable},
		{"huge CA", map[string]http.HandlerFunc{v3Signing: text("s3"), v3CA: endless}, "", "", ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := newIdentity(t)
			id.routes = tt.routes
			// Without a user: certificates need no token.
			c := newClient(t, Options{AuthURL: id.URL + "/v3", CAFile: id.caFile(t)})
			signing, ca, err := c.Fetch(t.Context())
			if !errors.Is(err, tt.err) || string(signing) != tt.signing || string(ca) != tt.ca || (tt.ca == "") != (ca == nil) {
				t.Errorf("got %q, %q, %v", signing, ca, err)
			}
			if errors.Is(err, certs.ErrNoPKI) && errors.Is(err, ErrUnavailable) {
				t.Errorf("both: %v", err)
			}
			for _, r := range id.requests() {
				if strings.Contains(r, "POST") || strings.Contains(r, "own-") {
					t.Errorf("a login for certificates: %q", r)
				}
			}
		})
	}
}

// endless is more than any bound allows, as fast as it is read.
func endless(w http.ResponseWriter, _ *http.Request) {
	block := make([]byte, 64<<10)
	for {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

func TestFetchRevocationList(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
		err    error
	}{
		{"good", text(`{"signed": "-----BEGIN CMS-----\nMII=\n-----END CMS-----\n"}`), "-----BEGIN CMS-----\nMII=\n-----END CMS-----\n", nil},
		{"empty", text(`{"signed": ""}`), "", ErrUnavailable},
		{"other member", text(`{"revoked": []}`), "", ErrUnavailable},
		{"no text", text(`{"signed": {}}`), "", ErrUnavailable},
		{"no JSON", text(`<html>`), "", ErrUnavailable},
		{"cut off", text(`{"signed": "-----BEGIN`), "", ErrUnavailable},
		{"403", fails(403), "", certs.ErrNoPKI},
		{"404", fails(404), "", certs.ErrNoPKI},
		{"410", fails(410), "", certs.ErrNoPKI},
		{"500", fails(500), "", ErrUnavailable},
		{"503", fails(503), "", ErrUnavailable},
		{"longer than allowed", text(`{"signed": "` + strings.Repeat("x", 4096) + `"}`), "", ErrUnavailable},
		{"endless", endless, "", ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := newIdentity(t)
			id.routes[revoked] = tt.answer
			o := id.options(t)
			o.MaxListSize = 4096
			got, err := newClient(t, o).FetchRevocationList(t.Context())
			if !errors.Is(err, tt.err) || string(got) != tt.want {
				t.Errorf("got %q, %v", got, err)
			}
			if seen := id.requests(); len(seen) != 2 || seen[1] != "GET "+revoked+" own-1" {
				t.Errorf("requests %q", seen)
			}
		})
	}
}

// TestListBoundIsExact: as long as the bound is good, a byte more is not.
func TestListBoundIsExact(t *testing.T) {
	id := newIdentity(t)
	body := `{"signed":"0123456789"}`
	id.routes[revoked] = text(body)
	for size, good := range map[int]bool{len(body): true, len(body) - 1: false} {
		o := id.options(t)
		o.MaxListSize = int64(size)
		if _, err := newClient(t, o).FetchRevocationList(t.Context()); (err == nil) != good {
			t.Errorf("%d of %d bytes: %v", size, len(body), err)
		}
	}
}

func TestValidate(t *testing.T) {
	const body = `{"token": {"user": {"id": "7"}}}`
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		err    error
	}{
		{"good", text(body), nil},
		{"unknown", fails(404), ErrNotFound},
		{"somebody else's 404", http.NotFound, ErrUnavailable},
		{"empty 404", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, ErrUnavailable},
		{"403", fails(403), ErrUnavailable},
		{"410", fails(410), ErrUnavailable},
		{"500", fails(500), ErrUnavailable},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, ErrUnavailable},
		{"endless", endless, ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := newIdentity(t)
			id.routes["/v3/auth/tokens"] = tt.answer
			got, err := newClient(t, id.options(t)).Validate(t.Context(), "some-token", false)
			if !errors.Is(err, tt.err) || (tt.err == nil) != (string(got) == body) || tt.err == ErrUnavailable && errors.Is(err, ErrNotFound) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestValidateRequest(t *testing.T) {
	for _, tt := range []struct {
		noCatalog, allowExpired bool
		want                    string
	}{
		{false, false, "GET /v3/auth/tokens own-1 some-token"},
		{false, true, "GET /v3/auth/tokens?allow_expired=1 own-1 some-token"},
		{true, false, "GET /v3/auth/tokens?nocatalog=1 own-1 some-token"},
		{true, true, "GET /v3/auth/tokens?allow_expired=1&nocatalog=1 own-1 some-token"},
	} {
		id := newIdentity(t)
		id.routes["/v3/auth/tokens"] = text("{}")
		o := id.options(t)
		o.NoCatalog = tt.noCatalog
		if _, err := newClient(t, o).Validate(t.Context(), "some-token", tt.allowExpired); err != nil {
			t.Fatal(err)
		}
		if got := id.requests(); got[len(got)-1] != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// TestValidateEnforcesAccessRules: Keystone does not know tokens with access rules unless it is told that they are enforced.
func TestValidateEnforcesAccessRules(t *testing.T) {
	id := newIdentity(t)
	says := ""
	id.routes["/v3/auth/tokens"] = func(w http.ResponseWriter, r *http.Request) {
		says = r.Header.Get("OpenStack-Identity-Access-Rules")
		text("{}")(w, r)
	}
	if _, err := newClient(t, id.options(t)).Validate(t.Context(), "some-token", false); err != nil || says != "1" {
		t.Errorf("%q, %v", says, err)
	}
}

// TestValidateOddText: what cannot stand in a header is no token, and costs no request.
func TestValidateOddText(t *testing.T) {
	id := newIdentity(t)
	c := newClient(t, id.options(t))
	for _, odd := range []string{"", " ", "a b", "a\r\nX-Auth-Token: b", "a\x00", "tokén", "\x7f"} {
		if _, err := c.Validate(t.Context(), odd, false); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", odd, err)
		}
	}
	if got := id.requests(); len(got) != 0 {
		t.Errorf("requests %q", got)
	}
}

// TestOneLoginAfter401, and the second try asks the same question: Python's middleware loses allow_expired there.
func TestOneLoginAfter401(t *testing.T) {
	id := newIdentity(t)
	id.routes["/v3/auth/tokens"] = text("{}")
	id.routes[revoked] = text(`{"signed":"x"}`)
	c := newClient(t, id.options(t))
	token(t, c)
	id.set(func() { id.refused["own-1"] = true })
	if _, err := c.Validate(t.Context(), "some-token", true); err != nil {
		t.Fatal(err)
	}
	id.clock.add(forcedPause)
	id.set(func() { id.refused["own-2"] = true })
	if _, err := c.FetchRevocationList(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"POST /v3/auth/tokens?nocatalog",
		"GET /v3/auth/tokens?allow_expired=1 own-1 some-token", "POST /v3/auth/tokens?nocatalog", "GET /v3/auth/tokens?allow_expired=1 own-2 some-token",
		"GET " + revoked + " own-2", "POST /v3/auth/tokens?nocatalog", "GET " + revoked + " own-3",
	}
	if got := id.requests(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestSlowService: neither silence nor a drip of bytes keeps a caller longer than the time limit.
func TestSlowService(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"body that never ends": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"drip": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				wait(r.Context(), time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			id := newIdentity(t)
			o := id.options(t)
			c := newClient(t, o)
			token(t, c) // a good login first, within the usual limit
			c.options.Timeout, c.options.ListTimeout = 30*time.Millisecond, 30*time.Millisecond
			id.set(func() {
				for _, path := range []string{"/v3/auth/tokens", revoked, v3Signing} {
					id.routes[path] = answer
				}
			})
			for what, call := range map[string]func() error{
				"validate":     func() error { _, err := c.Validate(t.Context(), "some-token", false); return err },
				"list":         func() error { _, err := c.FetchRevocationList(t.Context()); return err },
				"certificates": func() error { _, _, err := c.Fetch(t.Context()); return err },
			} {
				if err := call(); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errSlow) {
					t.Errorf("%s: got %v", what, err)
				}
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			why := errors.New("the caller went away")
			cancel(why)
			if _, err := c.Validate(ctx, "some-token", false); !errors.Is(err, ErrUnavailable) || !errors.Is(err, why) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func wait(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

func TestRedirects(t *testing.T) {
	elsewhere := newIdentity(t)
	for _, tt := range []struct {
		name, to string
		status   int
		want     string // of the error, "" for a good answer
	}{
		{"same address", "/moved", 302, ""},
		{"same address, 308", "/moved", 308, ""},
		{"another port", elsewhere.URL + "/moved", 302, "redirect to another address"},
		{"another scheme", "http:", 307, "redirect to another address"},
		{"another name of the same host", "localhost", 301, "redirect to another address"},
		{"circle", "/v3/auth/tokens", 302, "one redirect after the other"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := newIdentity(t)
			to := tt.to
			switch to {
			case "http:":
				to = strings.Replace(id.URL, "https", "http", 1) + "/moved"
			case "localhost":
				to = strings.Replace(id.URL, "127.0.0.1", "localhost", 1) + "/moved"
			}
			id.routes["/v3/auth/tokens"] = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, tt.status) }
			id.routes["/moved"] = text("{}")
			_, err := newClient(t, id.options(t)).Validate(t.Context(), "some-token", false)
			if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v", err)
			}
		})
	}
	if got := elsewhere.requests(); len(got) != 0 {
		t.Errorf("the other address got %q", got)
	}

	t.Run("login turned into GET", func(t *testing.T) {
		id := newIdentity(t)
		id.login = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/moved", http.StatusFound) }
		if _, err := newClient(t, id.options(t)).Token(t.Context()); err == nil || !strings.Contains(err.Error(), "turns POST into GET") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("login", func(t *testing.T) {
		id := newIdentity(t)
		id.login = func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/moved", http.StatusTemporaryRedirect)
		}
		id.routes["/moved"] = issue("own-1", id.clock.Now(), time.Hour)
		token(t, newClient(t, id.options(t)))
	})
}

// TestDiscovery: where the API is not at its usual path, the version document says so; its hosts do not count.
func TestDiscovery(t *testing.T) {
	document := func(status int, v3, v2 string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"versions":{"values":[{"id":"v2.0","links":[{"rel":"describedby","href":"http://docs/"},{"rel":"self","href":%q}]},{"id":"v3.14","links":[{"rel":"self","href":%q}]}]}}`, v2, v3)
		}
	}
	const away = "http://unreachable.internal:35357"

	t.Run("login", func(t *testing.T) {
		id := newIdentity(t)
		id.routes["/"] = document(300, away+"/identity/v3/", away+"/identity/v2.0/")
		issuer := issue("own-1", id.clock.Now(), time.Hour)
		id.login = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/identity/v3/auth/tokens" {
				fails(404)(w, r)
				return
			}
			issuer(w, r)
		}
		id.routes["/identity"+v3Signing] = fails(410)
		id.routes["/identity"+v2Signing] = text("s2")
		c := newClient(t, id.options(t))
		token(t, c)
		if signing, _, err := c.Fetch(t.Context()); err != nil || string(signing) != "s2" {
			t.Errorf("got %q, %v", signing, err)
		}
	})
	t.Run("certificates before any login", func(t *testing.T) {
		id := newIdentity(t)
		id.routes["/"] = document(200, away+"/identity/v3", away+"/identity/v2.0")
		id.routes["/identity"+v3Signing], id.routes["/identity"+v3CA] = text("s3"), text("c3")
		c := newClient(t, Options{AuthURL: id.URL, CAFile: id.caFile(t)})
		if signing, ca, err := c.Fetch(t.Context()); err != nil || string(signing) != "s3" || string(ca) != "c3" {
			t.Errorf("got %q, %q, %v", signing, ca, err)
		}
	})
	t.Run("not where the usual path works", func(t *testing.T) {
		id := newIdentity(t)
		id.routes["/"] = document(200, away+"/identity/v3", away+"/identity/v2.0")
		c := newClient(t, id.options(t))
		token(t, c)
		if _, _, err := c.Fetch(t.Context()); !errors.Is(err, certs.ErrNoPKI) {
			t.Errorf("got %v", err)
		}
		if got := id.requests(); slices.Contains(got, "GET /") {
			t.Errorf("requests %q", got)
		}
	})
	for name, answer := range map[string]http.HandlerFunc{
		"same paths": document(300, away+"/v3", away+"/v2.0"), "no JSON": text("<html>"), "none": fails(404), "bad link": document(300, "http://%zz/", "%zz"), "endless": endless,
	} {
		t.Run("without success: "+name, func(t *testing.T) {
			id := newIdentity(t)
			id.login, id.routes["/"] = fails(404), answer
			c := newClient(t, id.options(t))
			if _, err := c.Token(t.Context()); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "404 Not Found for "+id.URL+"/v3; check auth_url") {
				t.Errorf("got %v", err)
			}
			if id.count() != 1 {
				t.Errorf("%d logins", id.count())
			}
		})
	}
}
