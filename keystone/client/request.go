package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"

	"authproxy/revocation/pace"
)

// call is one request to the service.
type call struct {
	doing       string // for errors: "validating a token"
	method, url string
	own         string // X-Auth-Token
	subject     string // X-Subject-Token
	header      http.Header
	body        []byte // JSON
	limit       int64  // of the answer's body, in bytes
	timeout     time.Duration
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// errSlow is the cause of an end by the Client's own timeout.
var errSlow = errors.New("no complete answer within the time limit")

// send makes a request, again where no connection was to be had: after half a second, then doubling, with jitter.
func (c *Client) send(ctx context.Context, r call) (answer, error) {
	for attempt := 0; ; attempt++ {
		a, err := c.once(ctx, r)
		if err == nil {
			return a, nil
		}
		if attempt >= c.options.Retries || !noConnection(err) || ctx.Err() != nil {
			return answer{}, unavailable(r.doing, err)
		}
		pause := min(500*time.Millisecond<<min(attempt, 10), 8*time.Second)
		pause = time.Duration(float64(pause) * (0.5 + rand.Float64()/2))
		c.log.Debug("no connection to the Identity service, trying again", "doing", r.doing, "attempt", attempt+1, "pause", pause, "err", err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return answer{}, unavailable(r.doing, err)
		}
	}
}

func (c *Client) once(ctx context.Context, r call) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, errSlow)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "authproxy")
	req.Header.Set("Accept", "application/json, application/x-pem-file, */*;q=0.5")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.own != "" {
		req.Header.Set("X-Auth-Token", r.own)
	}
	if r.subject != "" {
		req.Header.Set("X-Subject-Token", r.subject)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, fit(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(progressReader{ctx, resp.Body}, r.limit+1))
	if err == nil {
		// At the end of ctx net/http closes the connection; a server that sees this and ends its answer in good order can make
		// half a body look like all of it.
		err = ctx.Err()
	}
	if err != nil {
		return answer{}, fit(ctx, err)
	}
	if int64(len(body)) > r.limit {
		return answer{}, fmt.Errorf("the answer is longer than %d bytes", r.limit)
	}
	return answer{resp.StatusCode, resp.Header, body}, nil
}

// progressReader tells of what comes to whoever bounds the request by its progress.
type progressReader struct {
	ctx context.Context
	r   io.Reader
}

func (p progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	pace.Progress(p.ctx, n)
	return n, err
}

// noConnection says that nothing of the request has left yet.
func noConnection(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// fit makes an error of net/http fit for logs. Those that quote what the server sent are replaced: a server may send back the
// token that it was asked about.
func fit(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err // without the URL, which a redirect may have made up
	}
	var (
		op          *net.OpError
		verify      *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		host        x509.HostnameError
		authority   x509.UnknownAuthorityError
		certificate x509.CertificateInvalidError
		redirect    redirectError
	)
	switch {
	case errors.As(err, &redirect):
		return redirect
	case errors.As(err, &op):
		return op
	case errors.As(err, &verify), errors.As(err, &host), errors.As(err, &authority), errors.As(err, &certificate), errors.As(err, &alert),
		errors.Is(err, http.ErrSchemeMismatch), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case errors.As(err, &record):
		return errors.New("it does not speak TLS")
	}
	return fmt.Errorf("the request failed, or the answer is no HTTP that can be read (%T)", innermost(err))
}

func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
