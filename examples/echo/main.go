// Command echo is a service without a line of auth code: it answers every request with the identity that the request's
// headers tell, as JSON. It stands behind authproxy in the demo and in tests.
//
// Names are read as a CGI or WSGI server reads them (X_User_Id is X-User-Id), so that a look-alike that came through would
// show.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8000", "address to listen on, host:port")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, listen string) error {
	server := &http.Server{Addr: listen, Handler: http.HandlerFunc(echo), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 1 << 20}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(server.Shutdown(grace), ignoreClosed(<-ended))
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// answer is what echo says.
type answer struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	// Identity holds the identity headers by name. Of the service catalog only the size is told, and tokens are left out.
	Identity map[string]string `json:"identity"`
	// BodyBytes is the length of the request's body.
	BodyBytes int64 `json:"body_bytes"`
}

func echo(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		http.Error(w, "reading the body failed", http.StatusBadRequest)
		return
	}
	a := answer{Method: r.Method, Path: r.URL.Path, Identity: map[string]string{}, BodyBytes: n}
	for name, values := range r.Header {
		if name = fold(name); !isIdentity(name) {
			continue
		}
		value := strings.Join(values, ",")
		if name == "X-Service-Catalog" {
			value = fmt.Sprintf("(%d bytes)", len(value))
		}
		if before, ok := a.Identity[name]; ok {
			value = before + "," + value
		}
		a.Identity[name] = value
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(a) // a client that is gone needs no answer
}

// fold gives the one name for all spellings that a CGI server takes for the same.
func fold(name string) string {
	return http.CanonicalHeaderKey(strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' {
			return c
		}
		return '-'
	}, name))
}

func isIdentity(name string) bool {
	if name == "X-Auth-Token" || name == "X-Service-Token" || name == "X-Storage-Token" {
		return false
	}
	for _, prefix := range []string{"X-Identity-", "X-Service-", "X-User", "X-Project", "X-Domain", "X-Tenant", "X-Role", "X-Is-Admin", "Openstack-System-Scope"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
