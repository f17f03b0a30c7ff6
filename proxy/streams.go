package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"authproxy/validate"
)

// Kinds of exchanges that can outlive their tokens.
const (
	streamWebSocket = "websocket"
	streamSSE       = "sse"
	streamGRPC      = "grpc"
	streamDownload  = "download"
)

var streamKinds = []string{streamWebSocket, streamSSE, streamGRPC, streamDownload}

// largeDownload is the length from which an answer's body is a download, as is one whose length is not known.
const largeDownload = 1 << 20

// Streams closes exchanges whose tokens no longer hold: expired, revoked, or refused for whatever would refuse a new request. One
// that nobody can judge at the time goes on until its token expires.
type Streams struct {
	// Kinds are those that are watched, from ParseStreamKinds.
	Kinds []string
	// Interval is how often they are judged again; 1 s by default.
	Interval time.Duration
	Now      func() time.Time // time.Now by default
	Log      *slog.Logger     // nil: discarded

	mu     sync.Mutex
	open   map[*stream]struct{}
	closed *prometheus.CounterVec
}

// stream is an exchange that is watched.
type stream struct {
	kind  string
	r     *http.Request
	judge func(context.Context) error
	cut   context.CancelCauseFunc
}

// errTokenEnded is the cause of the end of a request's context.
var errTokenEnded = errors.New("the token of the request no longer holds")

// ParseStreamKinds checks the names of kinds.
func ParseStreamKinds(names []string) ([]string, error) {
	for _, name := range names {
		if !slices.Contains(streamKinds, name) {
			return nil, fmt.Errorf("%q: want some of %s", name, strings.Join(streamKinds, ", "))
		}
	}
	return names, nil
}

// NewStreams makes the watch over some kinds of streams, and registers its figures.
func NewStreams(kinds []string, r prometheus.Registerer) *Streams {
	s := &Streams{Kinds: kinds, open: map[*stream]struct{}{}}
	s.closed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "authproxy_streams_closed_total",
		Help: "Streams that were closed since their tokens no longer held, by kind and by what is wrong with the token.",
	}, []string{"kind", "reason"})
	for _, kind := range kinds {
		s.closed.WithLabelValues(kind, string(validate.Expired))
		s.closed.WithLabelValues(kind, string(validate.Revoked))
	}
	r.MustRegister(s.closed, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "authproxy_streams_watched",
		Help: "Streams under way that are closed when their tokens no longer hold.",
	}, func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(len(s.open))
	}))
	return s
}

// Run judges the streams again and again until ctx ends.
func (s *Streams) Run(ctx context.Context) error {
	interval := s.Interval
	if interval <= 0 {
		interval = time.Second
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.sweep(ctx)
		}
	}
}

// atOnce is how many streams are judged at a time: a few may have to wait for the Identity service.
const atOnce = 16

func (s *Streams) sweep(ctx context.Context) {
	s.mu.Lock()
	open := make([]*stream, 0, len(s.open))
	for st := range s.open {
		open = append(open, st)
	}
	s.mu.Unlock()
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, st := range open {
		group.Go(func() error {
			s.judge(ctx, st)
			return nil
		})
	}
	_ = group.Wait() // nothing in it fails
}

func (s *Streams) judge(ctx context.Context, st *stream) {
	err := st.judge(ctx)
	if err == nil || !s.remove(st) {
		return
	}
	reason := validate.ReasonOf(err)
	s.closed.WithLabelValues(st.kind, string(reason)).Inc()
	if s.Log != nil {
		s.Log.LogAttrs(ctx, slog.LevelInfo, "stream closed: its token no longer holds", slog.String("reason", string(reason)), slog.String("kind", st.kind),
			slog.String("method", st.r.Method), slog.String("path", st.r.URL.Path), slog.String("peer", st.r.RemoteAddr))
	}
	st.cut(errTokenEnded)
}

func (s *Streams) add(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[st] = struct{}{}
}

// remove says whether the stream was there.
func (s *Streams) remove(st *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.open[st]
	delete(s.open, st)
	return ok
}

func (s *Streams) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// kindOf says what kind of stream an answer begins, "" for one that is over soon, or that nobody watches.
func (s *Streams) kindOf(code int, header http.Header) string {
	kind := ""
	media, _, _ := strings.Cut(first(header["Content-Type"]), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	switch {
	case code == http.StatusSwitchingProtocols:
		kind = streamWebSocket
	case media == "text/event-stream":
		kind = streamSSE
	case media == "application/grpc" || strings.HasPrefix(media, "application/grpc+"):
		kind = streamGRPC
	default:
		if n, err := strconv.ParseInt(first(header["Content-Length"]), 10, 64); err != nil || n >= largeDownload {
			kind = streamDownload
		}
	}
	if !slices.Contains(s.Kinds, kind) {
		return ""
	}
	return kind
}

// interruptible makes it possible to cut an exchange off while it is under way; done is to be called after it.
func (h *Handler) interruptible(x *exchange, r *http.Request) (out *http.Request, done func()) {
	if h.Streams == nil || x.verdict.user == nil {
		return r, func() {}
	}
	ctx, cut := context.WithCancelCause(r.Context())
	out = r.WithContext(ctx)
	x.stream = &stream{r: out, cut: cut, judge: func(ctx context.Context) error { return h.judgeAgain(ctx, r, x) }}
	return out, func() {
		h.Streams.remove(x.stream)
		cut(nil)
	}
}

// watch begins to watch an exchange, if its answer is a stream.
func (h *Handler) watch(x *exchange, code int, header http.Header) {
	if x.stream == nil {
		return
	}
	if x.stream.kind = h.Streams.kindOf(code, header); x.stream.kind != "" {
		h.Streams.add(x.stream)
	}
}

// judgeAgain says why the tokens of an exchange would not be accepted any more, nil where they would, or where nobody can tell and
// the user's is not over yet. Who sends the request was found out when it began: a Kerberos ticket counts once.
func (h *Handler) judgeAgain(ctx context.Context, r *http.Request, x *exchange) error {
	v := verdict{sender: x.verdict.sender}
	h.judge(r.WithContext(ctx), &v)
	if x.verdict.service == nil {
		v.serviceErr = nil // it did not hold in the beginning either, which the upstream was told
	}
	var unknown bool
	for _, err := range []error{v.unfit, v.userErr, v.serviceErr, v.forbidden} {
		switch {
		case err == nil:
		case errors.Is(err, validate.ErrUnavailable):
			unknown = true
		default:
			return err
		}
	}
	if unknown && !x.verdict.mayBeExpired && !h.Streams.now().Before(x.verdict.expires) {
		return refuse(validate.Expired, nil)
	}
	return nil
}
