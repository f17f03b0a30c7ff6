package proxy

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"authproxy/proxy/headers"
)

// reverse is the forwarder made of the standard library: httputil.ReverseProxy over an http.RoundTripper.
type reverse struct {
	h     *Handler
	proxy *httputil.ReverseProxy
}

func newReverse(h *Handler) *reverse {
	f := &reverse{h: h}
	f.proxy = &httputil.ReverseProxy{
		Rewrite:        f.rewrite, // never Director: there a client's Connection header takes away what we set
		Transport:      h.Transport,
		FlushInterval:  -1,
		ModifyResponse: f.modifyResponse,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			h.upstreamFailed(w, r, exchangeOf(r.Context()), err)
		},
		ErrorLog:   slog.NewLogLogger(h.Log.Handler(), slog.LevelDebug),
		BufferPool: &bufferPool{},
	}
	return f
}

// exchangeKey is where the request's context carries the exchange to the hooks of the ReverseProxy.
type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

func (f *reverse) forward(w http.ResponseWriter, r *http.Request, x *exchange) {
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	if x.upload != nil {
		x.upload.released = make(chan struct{})
		defer close(x.upload.released)
		r.Body = x.upload
	}
	f.proxy.ServeHTTP(w, r)
}

type headerMap http.Header

func (m headerMap) add(name, value string) { m[name] = append(m[name], value) }

// rewrite makes the request for the upstream: the client's own, but for the identity headers and the address. Path and
// query go on as they came, since services give meaning to "//", "..", %2F and ";", and so does Host, of which they make
// links.
func (f *reverse) rewrite(pr *httputil.ProxyRequest) {
	h, in, out := f.h, pr.In, pr.Out
	x := exchangeOf(in.Context())

	out.URL.Scheme, out.URL.Host = h.scheme, h.host
	if base := h.Upstream; base.Scheme != "unix" && base.Path != "" && base.Path != "/" {
		out.URL.Path = strings.TrimSuffix(base.Path, "/") + in.URL.Path
		out.URL.RawPath = strings.TrimSuffix(base.EscapedPath(), "/") + in.URL.EscapedPath()
	}
	out.URL.RawQuery = in.URL.RawQuery // the ReverseProxy drops parts that it cannot parse
	out.Trailer = nil                  // not passed on, so not announced; some servers read trailers as headers

	if h.UpstreamHTTP2 {
		h.passTrailers(in, out)
	}

	out.Header = make(http.Header, len(in.Header)+24)
	h.pass(in, x.verdict.anonymous != "", headerMap(out.Header))
	if protocol, _ := upgradeOf(in); protocol != "" && !h.UpstreamHTTP2 {
		out.Header["Connection"], out.Header["Upgrade"] = []string{"Upgrade"}, []string{protocol}
	}
	switch v := x.verdict; {
	case v.anonymous != "":
	case v.user != nil:
		v.user.Set(out.Header)
	default:
		headers.SetInvalid(out.Header)
	}
	switch v := x.verdict; {
	case v.service != nil:
		v.service.Set(out.Header)
	case v.serviceErr != nil:
		headers.SetServiceInvalid(out.Header)
	}
	x.sent = time.Now()
}

func (f *reverse) modifyResponse(res *http.Response) error {
	x := exchangeOf(res.Request.Context())
	if f.h.UpstreamHTTP2 {
		trailersOnly(res)
	}
	f.h.answered(x, res.StatusCode, res.Header)
	if res.StatusCode >= 400 && x.upload != nil {
		f.hold(x, res)
	}
	return nil
}

// hold keeps an early answer back until the client has sent all: see upload.stalls.
func (f *reverse) hold(x *exchange, res *http.Response) {
	if !x.upload.stalls() {
		return
	}
	var head bytes.Buffer
	_, err := io.CopyN(&head, res.Body, heldBody)
	rest := io.Reader(res.Body) // an error comes again when the rest is read
	if err != nil && res.ContentLength < 0 && len(res.TransferEncoding) == 0 {
		rest = http.NoBody // this body ends where the connection does, which here commonly is by a reset
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&head, rest), res.Body}
	f.h.drop(x)
}

// bufferPool lends the ReverseProxy its copy buffers.
type bufferPool struct{ pool sync.Pool }

const copyBuffer = 32 << 10

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[copyBuffer]byte); ok {
		return b[:]
	}
	return make([]byte, copyBuffer)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put((*[copyBuffer]byte)(b)) }
