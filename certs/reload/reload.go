// Package reload takes files that an operator replaces, certificates and keys, into use without a restart.
package reload

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// DefaultInterval is how often files are looked at.
const DefaultInterval = 10 * time.Second

// Watcher calls Load when the files have other content than they had when it was called last. What Load put into use before
// stays in use when it fails; it is called again once the files change again.
//
// Content is compared, not times: files that are replaced by rename, or through symbolic links as Kubernetes does it, need no
// more than that.
type Watcher struct {
	// What is the name for log and status: "listener certificate".
	What string
	// Files may name a directory, which stands for all files in it.
	Files []string
	Load  func() error

	Interval time.Duration    // DefaultInterval by default
	Log      *slog.Logger     // nil: discarded
	Now      func() time.Time // time.Now by default

	mu     sync.Mutex
	seen   [sha256.Size]byte
	status Status
}

// Status is what a Watcher knows of itself.
type Status struct {
	// LoadedAt is when the files in use were loaded.
	LoadedAt time.Time `json:"loaded_at"`
	// LastError is why newer files are not in use, "" if there is no reason.
	LastError string `json:"last_error,omitempty"`
}

// Start loads the files for the first time.
func (w *Watcher) Start() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = w.fingerprint()
	if err := w.Load(); err != nil {
		return err
	}
	w.status = Status{LoadedAt: w.now()}
	return nil
}

// Status may be called at any time.
func (w *Watcher) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// Run looks at the files until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	interval := w.Interval
	if interval <= 0 {
		interval = DefaultInterval
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.Look()
		}
	}
}

// Look looks at the files now.
func (w *Watcher) Look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.fingerprint()
	if now == w.seen {
		return
	}
	w.seen = now
	log := w.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := w.Load(); err != nil {
		w.status.LastError = err.Error()
		log.Error("files changed, and cannot be used; what was loaded before stays in use", slog.String("what", w.What), slog.Any("cause", err))
		return
	}
	w.status = Status{LoadedAt: w.now()}
	log.Info("files changed and are in use", slog.String("what", w.What))
}

// fingerprint stands for the content of the files, absence and unreadability included.
func (w *Watcher) fingerprint() (sum [sha256.Size]byte) {
	h := sha256.New()
	files := slices.Clone(w.Files)
	for _, path := range w.Files {
		entries, _ := os.ReadDir(path) // in order; of a file there are none
		for _, e := range entries {
			files = append(files, filepath.Join(path, e.Name()))
			h.Write([]byte(e.Name() + "\x00"))
		}
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		part := sha256.Sum256(content)
		h.Write(part[:])
		if err != nil {
			text := err.Error()
			if path := (*fs.PathError)(nil); errors.As(err, &path) {
				text = path.Err.Error()
			}
			h.Write([]byte(text))
		}
	}
	h.Sum(sum[:0])
	return sum
}

func (w *Watcher) now() time.Time {
	if w.Now == nil {
		return time.Now()
	}
	return w.Now()
}
