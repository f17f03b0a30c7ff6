package plain

import (
	"io"
	"net/http"
	"sync"
)

// Body is the body of a plain request, which has come whole before its Handler is called.
type Body struct {
	mu     sync.Mutex // a Handler may leave reading to a goroutine, and close meanwhile
	all    []byte
	read   int
	closed bool
}

// Whole gives all of the body, whatever of it was read. It must not be written to.
func (b *Body) Whole() []byte { return b.all }

func (b *Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	case b.read == len(b.all):
		return 0, io.EOF
	}
	n := copy(p, b.all[b.read:])
	b.read += n
	return n, nil
}

// Close ends reading.
func (b *Body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}
