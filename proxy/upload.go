package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"authproxy/proxy/plain"
	"authproxy/proxy/relay"
)

// upload is a request's body on its way to the upstream. It can be taken from the transport half-way.
type upload struct {
	body     io.ReadCloser
	chunked  bool
	released chan struct{} // closed when the handler returns; nil where relay.ErrStop is understood

	// eof: all was read; broken: the client's side failed.
	eof, broken atomic.Bool

	mu    sync.Mutex // held over each read, so that the upstream sees all up to a point and nothing after it
	taken bool
}

var errTaken = errors.New("the upstream has answered; the rest of the body is not for it")

func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	if u.taken {
		u.mu.Unlock()
		if u.released == nil {
			return 0, relay.ErrStop
		}
		// An error now would make the transport close the connection that the answer is still being read from.
		<-u.released
		return 0, errTaken
	}
	defer u.mu.Unlock()
	return u.read(p)
}

func (u *upload) read(p []byte) (int, error) {
	n, err := u.body.Read(p)
	switch {
	case err == io.EOF:
		u.eof.Store(true)
	case err != nil:
		u.broken.Store(true)
	}
	return n, err
}

func (u *upload) Close() error { return u.body.Close() }

// stalls says that the client may not read an answer before it has sent all, and that it has not. Such a client is let finish,
// within bounds (see Handler.DrainBytes), before it gets an early answer that refuses the upload; the upstream gets no more of it
// then. The answer is fetched first, at least heldBody of it: the upstream may be closing a connection with unread data, which
// destroys what was not fetched.
func (u *upload) stalls() bool { return u.chunked && !u.eof.Load() }

// heldBody is how much of an early answer's body is read before the client is let finish.
const heldBody = 64 << 10

// drop takes what is left of an upload away from the transport and reads it, if the client has to be let finish.
func (h *Handler) drop(x *exchange) {
	if !x.upload.stalls() {
		return
	}
	h.readOut(x.w, func() io.Reader {
		x.upload.mu.Lock() // waits for a read under way, which the deadline ends
		defer x.upload.mu.Unlock()
		x.upload.taken = true
		return readerFunc(x.upload.read)
	})
}

// dismiss deals with the body of a request that is answered here. A chunked one is read out, within bounds, so that the
// client gets to reading the answer; a client that was promised "100 Continue" has not sent any.
func (h *Handler) dismiss(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.ContentLength == 0 || isWhole(r) || r.ProtoMajor > 1: // HTTP/2 can take the answer first, and a stream may have no end
	case r.ContentLength < 0 && r.Header.Get("Expect") == "":
		h.readOut(w, func() io.Reader { return r.Body })
	default:
		// net/http reads on for a while by itself, before it answers; it shall not wait for ever.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.DrainTime))
	}
}

func (h *Handler) readOut(w http.ResponseWriter, body func() io.Reader) {
	conn := http.NewResponseController(w)
	if err := conn.SetReadDeadline(time.Now().Add(h.DrainTime)); err != nil {
		return // not a connection that can be bounded in time
	}
	if _, err := io.CopyN(io.Discard, body(), h.DrainBytes); err != io.EOF {
		w.Header().Set("Connection", "close") // there is more
	}
	// The deadline stays, for net/http's own attempts to read more. At the end of a body net/http lifts it by itself.
}

// isWhole says whether all of a request's body has come.
func isWhole(r *http.Request) bool {
	_, is := r.Body.(*plain.Body)
	return is
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
