package plain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"authproxy/proxy/socket"
)

// serve serves a Handler by itself, or with a Listener of this package before it.
func serve(t testing.TB, plain bool, h http.HandlerFunc, change func(*http.Server)) (address string, front *Listener) {
	t.Helper()
	server := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	if change != nil {
		change(server)
	}
	below, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := net.Listener(socket.Listener{Listener: below})
	if plain {
		front = NewListener(l, server)
		l = front
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		front.Abort()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := front.Wait(ctx); err != nil {
			t.Errorf("connections that do not end: %v", err)
		}
	})
	return below.Addr().String(), front
}

func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

var dates = regexp.MustCompile(`Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n`)

// Answers are those of net/http, byte for byte, and so is what becomes of the connection.
func TestAnswers(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 4<<10)
	write := func(header http.Header, code int, body ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for name, values := range header {
				w.Header()[name] = values
			}
			if code != 0 {
				w.WriteHeader(code)
			}
			for _, part := range body {
				_, _ = io.WriteString(w, part)
			}
		}
	}
	flush := func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }
	tests := map[string]http.HandlerFunc{
		"nothing":              func(http.ResponseWriter, *http.Request) {},
		"only a status":        write(nil, 404),
		"an odd status":        write(nil, 799, "x"),
		"a small body":         write(nil, 0, "<html>"),
		"in parts":             write(nil, 200, "a", "", "b", "c"),
		"2048 bytes":           write(nil, 200, long[:2048]),
		"2049 bytes":           write(nil, 200, long[:2049]),
		"a long body":          write(nil, 200, long),
		"a small part first":   write(nil, 200, "a", long),
		"a length":             write(http.Header{"Content-Length": {"3"}, "Content-Type": {"x/y"}}, 200, "abc"),
		"a long length":        write(http.Header{"Content-Length": {"65536"}}, 200, long),
		"a length in parts":    write(http.Header{"Content-Length": {"65539"}}, 200, "abc", long),
		"a length of 0":        write(http.Header{"Content-Length": {"0"}}, 200),
		"less than the length": write(http.Header{"Content-Length": {"5"}}, 200, "abc"),
		"more than the length": write(http.Header{"Content-Length": {"2"}}, 200, "a", "bcd", "e"),
		"no type":              write(http.Header{"Content-Type": nil}, 200, "abc"),
		"encoded":              write(http.Header{"Content-Encoding": {"gzip"}}, 200, "abc"),
		"a Date":               write(http.Header{"Date": {"then"}}, 200, "abc"),
		"no Date":              write(http.Header{"Date": nil}, 200, "abc"),
		"204":                  write(http.Header{"Content-Length": {"3"}, "Content-Type": {"x/y"}, "X-A": {"1"}}, 204, "abc"),
		"304":                  write(http.Header{"Content-Length": {"3"}, "Content-Type": {"x/y"}, "Etag": {"1"}}, 304, "abc"),
		"many fields": write(http.Header{"X-C": {"1", "2"}, "X-A": {" a ", ""}, "X-B": {"b\r\nX-Forged: 1"}, "X D": {"no name"}, "": {"none"},
			"x-lower": {"a"}, "Server": {"s"}}, 200, "abc"),
		"close":              write(http.Header{"Connection": {"close"}}, 200, "abc"),
		"Close":              write(http.Header{"Connection": {"Close"}}, 200, "abc"),
		"chunked":            write(http.Header{"Transfer-Encoding": {"chunked"}}, 200, "abc"),
		"chunked and length": write(http.Header{"Transfer-Encoding": {"chunked"}, "Content-Length": {"3"}}, 200, "abc"),
		"identity":           write(http.Header{"Transfer-Encoding": {"identity"}}, 200, "abc"),
		"announced trailers": func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Trailer"] = []string{"X-A, X-B", "Content-Length"}
			_, _ = io.WriteString(w, "abc")
			w.Header().Set("X-A", "1")
			w.Header().Set("X-C", "3")
			w.Header().Set("Content-Length", "3")
		},
		"trailers that were not": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "abc")
			flush(w)
			w.Header().Set(http.TrailerPrefix+"X-B", "1")
			w.Header().Set(http.TrailerPrefix+"X-A", "2")
		},
		"trailers of a short body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(http.TrailerPrefix+"X-A", "2")
			w.WriteHeader(200)
			_, _ = io.WriteString(w, "abc")
		},
		"flushed at once": func(w http.ResponseWriter, r *http.Request) {
			flush(w)
			_, _ = io.WriteString(w, "abc")
			flush(w)
			flush(w)
			_, _ = io.WriteString(w, long)
		},
		"flushed, with a length": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "3")
			flush(w)
			_, _ = io.WriteString(w, "abc")
		},
		"hints": func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Link"] = []string{"</a>", "</b>"}
			w.Header()["Content-Length"] = []string{"3"}
			w.WriteHeader(103)
			w.WriteHeader(100)
			delete(w.Header(), "Link")
			w.WriteHeader(200)
			_, _ = io.WriteString(w, "abc")
		},
		"two statuses": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(404)
			w.WriteHeader(200)
		},
		"a header that comes too late": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			w.Header().Set("X-A", "1")
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "abc")
		},
		"aborted at once": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"aborted": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "abc")
			panic(http.ErrAbortHandler)
		},
		"aborted after some": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "abc")
			flush(w)
			_, _ = io.WriteString(w, "def")
			panic("on the way")
		},
		"what was asked": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+r.URL.String()+" "+r.Host+" "+r.Proto)
			r.Header.Del("Te")
			_ = r.Header.Write(w)
			local := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
			_, _ = io.WriteString(w, local.Network())
			if _, ok := r.Context().Value(http.ServerContextKey).(*http.Server); !ok {
				t.Error("the context does not name the server")
			}
		},
	}
	for name, h := range tests {
		for _, method := range []string{"GET", "HEAD"} {
			t.Run(name+" "+method, func(t *testing.T) {
				var got [2]string
				for i := range got {
					address, _ := serve(t, i == 0, h, nil)
					c := dial(t, address)
					// Twice on one connection; the second, which is for net/http, shows whether it goes on, and ends it.
					text := method + " /a//b?c=%zz HTTP/1.1\r\nHost: example:80\r\nAccept: */*\r\nX-B: 2\r\n\r\n" +
						method + " /2 HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: close\r\n\r\n"
					if _, err := io.WriteString(c, text); err != nil {
						t.Fatal(err)
					}
					answers, err := io.ReadAll(c)
					if err != nil && !strings.Contains(err.Error(), "reset") {
						t.Fatal(err)
					}
					got[i] = string(dates.ReplaceAll(answers, []byte("Date: now\r\n")))
					got[i] = strings.ReplaceAll(got[i], address, "address")
				}
				if got[0] != got[1] && parsed(got[0], method) != parsed(got[1], method) {
					t.Errorf("got  %.600q\nwant %.600q", got[0], got[1])
				}
			})
		}
	}
}

// parsed is what a client makes of answers, whatever chunks their bodies came in.
func parsed(text, method string) string {
	var out strings.Builder
	for in := bufio.NewReader(strings.NewReader(text)); ; {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			fmt.Fprintln(&out, err)
			return out.String()
		}
		body, err := io.ReadAll(res.Body)
		fmt.Fprintln(&out, res.Status, res.Proto, res.Header, res.ContentLength, res.TransferEncoding, res.Close, string(body), res.Trailer, err)
	}
}

// A length that is no number does not go out, whatever the Handler says.
func TestLengthThatIsNone(t *testing.T) {
	address, _ := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "-3")
		_, _ = io.WriteString(w, "abc")
	}, nil)
	c := dial(t, address)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.ContentLength != 3 {
		t.Errorf("%+v, %v", res, err)
	}
}
