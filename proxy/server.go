package proxy

import (
	"log/slog"
	"net/http"
	"time"
)

// ServerOptions are the limits of a listener.
type ServerOptions struct {
	// MaxToken is the longest token to be let in, in bytes; 64 KiB by default. The limit on a request's head leaves room
	// for two of them.
	MaxToken int
	// ReadHeaderTimeout bounds how long a client may take over a request's head; 10 s by default.
	ReadHeaderTimeout time.Duration
	// IdleTimeout closes connections on which no request comes; 2 min by default.
	IdleTimeout time.Duration
	// HTTP2 serves it to clients that agree on it by TLS.
	HTTP2 bool
	Log   *slog.Logger // nil: discarded
}

// NewServer makes the server of a Handler. It has no time-outs on bodies: uploads and downloads of images take hours.
func NewServer(h http.Handler, o ServerOptions) *http.Server {
	if o.MaxToken <= 0 {
		o.MaxToken = 64 << 10
	}
	if o.ReadHeaderTimeout <= 0 {
		o.ReadHeaderTimeout = 10 * time.Second
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 2 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	const otherHeaders = 64 << 10
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(o.HTTP2)
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: o.ReadHeaderTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    2*o.MaxToken + otherHeaders,
		// "OPTIONS *" is the upstream's to answer, for those who may ask.
		DisableGeneralOptionsHandler: true,
		// What net/http complains of is what clients do: broken handshakes, connections that end half-way.
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
}
