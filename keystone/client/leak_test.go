package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestNothingLeaks goes through every way to fail with a service that sends back all that it got, and looks for the password
// and the tokens in errors and logs.
func TestNothingLeaks(t *testing.T) {
	const subject = "5ubject-token-0123456789"
	for name, login := range map[string]http.HandlerFunc{
		"echo in an error body": echo(http.StatusUnauthorized),
		"echo in a good answer": echo(http.StatusCreated),
		"server error":          echo(http.StatusInternalServerError),
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://"+all(r)+".example.com/", http.StatusFound)
		},
		"redirect to a bad URL": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "https://%zz"+all(r))
			w.WriteHeader(307)
		},
		"redirect on the host": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/"+all(r), http.StatusTemporaryRedirect)
		},
		"no HTTP":               hijack(func(s string) string { return s + "\r\n\r\n" }),
		"bad status line":       hijack(func(s string) string { return "HTTP/1.1 " + s + "\r\n\r\n" }),
		"bad header":            hijack(func(s string) string { return "HTTP/1.1 200 OK\r\n" + s + "\r\n\r\n" }),
		"bad length":            hijack(func(s string) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + s + "\r\n\r\n" }),
		"bad transfer encoding": hijack(func(s string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + s + "\r\n\r\n" }),
		"bad chunk":             hijack(func(s string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + s + "\r\n" }),
		"cut off":               hijack(func(s string) string { return "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + s }),
		"closed without a word": hijack(func(string) string { return "" }),
		"unprintable own token": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Subject-Token", all(r)+" \x7f")
			w.WriteHeader(201)
		},
		"times that are no time": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Subject-Token", "own-1")
			w.WriteHeader(201)
			json.NewEncoder(w).Encode(map[string]any{"token": map[string]string{"expires_at": all(r)}})
		},
	} {
		for _, stage := range []string{"login", "after it"} {
			t.Run(name+" "+stage, func(t *testing.T) {
				id := newIdentity(t)
				if stage == "login" {
					id.login = login
				}
				id.routes["/v3/auth/tokens"] = login
				id.routes["/v3/auth/tokens/OS-PKI/revoked"] = login
				id.other = hijack(func(string) string { return "" }) // where redirects lead to
				var log lockedBuffer
				o := id.options(t)
				o.Retries = 0
				o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				c := newClient(t, o)
				_, err1 := c.Validate(t.Context(), subject, false)
				_, err2 := c.FetchRevocationList(t.Context())
				_, err3 := c.Token(t.Context())
				said := fmt.Sprintf("%v\n%v\n%v\n%+v\n%s", err1, err2, err3, err1, log.String())
				for _, secret := range []string{"pa55word", "own-1", "own-2", subject} {
					if strings.Contains(strings.ToLower(said), secret) {
						t.Errorf("%s shows in\n%s", secret, said)
					}
				}
				// An answer of 201 or 200 that repeats all is a good one; its text goes to the caller only.
				if err1 == nil && err2 == nil && err3 == nil {
					t.Error("nothing failed, so nothing was tried")
				}
			})
		}
	}
}

// lockedBuffer is a log that goroutines may share.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// all is every secret that a request may hold, joined as a host name could be.
func all(r *http.Request) string {
	return "pa55word-" + r.Header.Get("X-Auth-Token") + "-" + r.Header.Get("X-Subject-Token")
}

func echo(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, all(r))
	}
}

// hijack answers with raw bytes and closes the connection.
func hijack(answer func(secrets string) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, buffer, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		buffer.WriteString(answer(all(r)))
		buffer.Flush()
	}
}
