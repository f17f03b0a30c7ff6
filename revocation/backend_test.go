package revocation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"authproxy/certs/certstest"
	"authproxy/revocation"
)

// backend is an Identity service that numbers its lists, signs deltas and lets callers wait, as the one of this module does.
// It is a revocation.ConditionalSource, and an http.Handler that says the same over the wire.
type backend struct {
	identity
	t testing.TB

	mu       sync.Mutex
	now      func() time.Time
	sequence uint64
	issued   time.Time
	life     time.Duration // from issued to next_update
	added    []addition
	changed  chan struct{}
	oldest   uint64 // since when it can tell
	noWait   bool   // Prefer is ignored
	lies     bool   // says that it has waited, and has not
	answers  func(revocation.Have) (revocation.Answer, error)
	asked    []revocation.Have
}

type addition struct {
	sequence uint64
	entry    string // as identity.list takes it
}

func newBackend(t testing.TB) *backend {
	b := &backend{identity: newIdentity(t), t: t, now: time.Now, life: 10 * time.Minute, changed: make(chan struct{})}
	b.signer = b.ca.Issue(t, certstest.ECDSAP256) // signs faster
	b.sequence, b.oldest = 1, 1
	b.issued = time.Now()
	return b
}

// at makes the backend's clock that of the test.
func (b *backend) at(c *clock) *backend {
	b.now, b.issued = c.now, c.now()
	return b
}

// revoke adds entries in one step.
func (b *backend) revoke(entries ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sequence++
	b.issued = b.now()
	for _, e := range entries {
		b.added = append(b.added, addition{b.sequence, e})
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// change calls f under the lock.
func (b *backend) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// take gives the questions since it was last called.
func (b *backend) take() []revocation.Have {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.asked
	b.asked = nil
	return asked
}

func (b *backend) etag() string { return fmt.Sprintf(`"%d-%d"`, b.sequence, b.issued.Unix()) }

func (b *backend) entries(since uint64) []string {
	entries := []string{}
	for _, a := range b.added {
		if a.sequence > since {
			entries = append(entries, a.entry)
		}
	}
	return entries
}

// numbers is the part that lists and deltas share.
func numbers(sequence uint64, issued time.Time, life time.Duration) string {
	return fmt.Sprintf(`"sequence":%d,"issued":%q,"next_update":%q`, sequence, issued.UTC().Format(time.RFC3339), issued.Add(life).UTC().Format(time.RFC3339))
}

// numberedList is the content of a whole list with its numbers.
func numberedList(t testing.TB, sequence uint64, issued time.Time, life time.Duration, entries ...string) []byte {
	return []byte(strings.TrimSuffix(string(listContent(t, entries...)), "}") + "," + numbers(sequence, issued, life) + "}")
}

func deltaContent(t testing.TB, from, to uint64, issued time.Time, life time.Duration, entries ...string) []byte {
	t.Helper()
	var list struct{ Revoked json.RawMessage }
	if err := json.Unmarshal(listContent(t, entries...), &list); err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, `{"delta":{"from":%d,"to":%d},"added":%s,%s}`, from, to, list.Revoked, numbers(to, issued, life))
}

// answer is what the backend says now, unless there is nothing new.
func (b *backend) answer(have revocation.Have) (revocation.Answer, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now().After(b.issued.Add(b.life * 9 / 10)) {
		b.issued = b.now() // signed anew
	}
	if have.ETag == b.etag() {
		return revocation.Answer{NotModified: true, ETag: have.ETag}, false
	}
	content := []byte(nil)
	if have.Sequence >= b.oldest && have.Sequence <= b.sequence {
		content = deltaContent(b.t, have.Sequence, b.sequence, b.issued, b.life, b.entries(have.Sequence)...)
	} else {
		content = numberedList(b.t, b.sequence, b.issued, b.life, b.entries(0)...)
	}
	return revocation.Answer{Signed: sign(b.t, b.signer, content), ETag: b.etag()}, true
}

func (b *backend) FetchRevocationList(ctx context.Context) ([]byte, error) {
	a, err := b.FetchRevocationChanges(ctx, revocation.Have{})
	return a.Signed, err
}

func (b *backend) FetchRevocationChanges(ctx context.Context, have revocation.Have) (revocation.Answer, error) {
	b.mu.Lock()
	b.asked = append(b.asked, have)
	answers, changed, waits, lies := b.answers, b.changed, have.Wait > 0 && !b.noWait, b.lies
	b.mu.Unlock()
	if answers != nil {
		return answers(have)
	}
	a, isNew := b.answer(have)
	if !isNew && waits && !lies {
		select {
		case <-changed:
		case <-time.After(have.Wait):
		case <-ctx.Done():
			return revocation.Answer{}, ctx.Err()
		}
		a, _ = b.answer(have)
	}
	a.WaitApplied = waits
	return a, nil
}

// ServeHTTP is the wire: logging in, and the list.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		w.Header().Set("X-Subject-Token", "own")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"token":{"issued_at":%q,"expires_at":%q}}`, b.now().UTC().Format(time.RFC3339), b.now().Add(time.Hour).UTC().Format(time.RFC3339))
		return
	}
	var have revocation.Have
	have.Sequence, _ = strconv.ParseUint(r.FormValue("since"), 10, 64)
	have.ETag = r.Header.Get("If-None-Match")
	if seconds, ok := strings.CutPrefix(r.Header.Get("Prefer"), "wait="); ok && have.ETag != "" {
		n, _ := strconv.Atoi(seconds)
		have.Wait = time.Duration(n) * time.Second
	}
	a, err := b.FetchRevocationChanges(r.Context(), have)
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("ETag", a.ETag)
	if a.WaitApplied {
		w.Header().Set("Preference-Applied", r.Header.Get("Prefer"))
	}
	if a.NotModified {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"signed": string(a.Signed)})
}
