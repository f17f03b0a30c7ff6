package proxy

import (
	"io"
	"net/http"

	"authproxy/proxy/headers"
)

// passTrailers announces the trailers that the client has announced to an upstream that keeps them apart from headers, and fills
// them in once the body is read. What a client must not send as a header it must not send here.
func (h *Handler) passTrailers(in, out *http.Request) {
	for name := range in.Trailer {
		if forwarding, _ := headers.IsForwarding(name); forwarding || headers.IsToken(name) || headers.Reserved(name, h.StripAlso...) {
			continue
		}
		if out.Trailer == nil {
			out.Trailer = http.Header{}
		}
		out.Trailer[name] = nil
	}
	if out.Trailer != nil && out.Body != nil {
		out.Body = &trailingBody{ReadCloser: out.Body, from: in, to: out.Trailer}
	}
}

// trailingBody copies trailers when it comes to its end.
type trailingBody struct {
	io.ReadCloser
	from *http.Request
	to   http.Header
}

func (b *trailingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		for name := range b.to {
			if values := b.from.Trailer[name]; values != nil {
				b.to[name] = values
			}
		}
	}
	return n, err
}

// trailersOnly makes a head and trailers of a gRPC answer that is nothing but trailers, sent as a head that ends the stream: on its
// way the end of the stream can come apart from it, and then it would be a head without a status.
func trailersOnly(res *http.Response) {
	if len(res.Header["Grpc-Status"]) == 0 || len(res.Trailer) > 0 || res.ContentLength != 0 {
		return
	}
	res.Trailer = http.Header{}
	for name, values := range res.Header {
		switch name {
		case "Content-Type", "Content-Length", "Date", "Server", "Via", "Www-Authenticate", "Persistent-Auth":
		default:
			res.Trailer[name] = values
			delete(res.Header, name)
		}
	}
}
