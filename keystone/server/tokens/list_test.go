package tokens

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"authproxy/certs/certstest"
	"authproxy/keystone"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func TestListState(t *testing.T) {
	at := func(sequence int64, issued time.Duration) ListState {
		return ListState{Sequence: sequence, Issued: noon.Add(issued)}
	}
	now := noon.Add(999 * time.Millisecond)
	for _, test := range []struct {
		name        string
		state       ListState
		step, renew ListState
		due         bool
	}{
		{"never issued", ListState{Sequence: 1, Issued: time.Unix(0, 0)}, at(2, 0), at(1, 0), true},
		{"an hour old", at(7, -time.Hour), at(8, 0), at(7, 0), true},
		{"half its life old", at(7, -5*time.Minute), at(8, 0), at(7, 0), true},
		{"not yet", at(7, -5*time.Minute+time.Second), at(8, 0), at(7, 0), false},
		{"this second", at(7, 0), at(8, 0), at(7, time.Second), false},
		{"by a clock ahead", at(7, time.Minute), at(8, time.Minute), at(7, time.Minute+time.Second), false},
		{"by a clock that was wrong", at(7, time.Hour), at(8, 0), at(7, 0), true},
	} {
		if got := test.state.Step(now); got != test.step {
			t.Errorf("%s: step to %+v, want %+v", test.name, got, test.step)
		}
		if got := test.state.Renew(now); got != test.renew {
			t.Errorf("%s: renewed to %+v, want %+v", test.name, got, test.renew)
		}
		if got := test.state.due(now); got != test.due {
			t.Errorf("%s: due %v, want %v", test.name, got, test.due)
		}
	}
}

// listStore has as many revoked tokens in each step as are asked for, and fails when told to.
type listStore struct {
	Store
	mu    sync.Mutex
	state ListState
	err   error // of all methods
	each  int   // tokens in a step
	reads int   // of tokens
	looks int   // at the state
}

func (s *listStore) ListState(context.Context) (ListState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	return s.state, s.err
}

func (s *listStore) set(state ListState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

func (s *listStore) RenewList(_ context.Context, seen, next ListState) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.state != seen {
		return false, s.err
	}
	s.state = next
	return true, nil
}

func (s *listStore) RevokedTokens(_ context.Context, steps Steps, _ time.Time) ([]keystone.RevokedToken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	n := int(steps.UpTo-steps.After) * s.each
	if steps.Most > 0 {
		n = min(n, steps.Most)
	}
	return make([]keystone.RevokedToken, n), s.err
}

func newLister(t *testing.T, s *listStore, now func() time.Time) *Manager {
	t.Helper()
	dir := t.TempDir()
	signer := certstest.New(t).Issue(t, certstest.ECDSAP256)
	k := &KeyPair{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
	for name, text := range map[string][]byte{k.CertFile: signer.CertPEM, k.KeyFile: signer.KeyPEM} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &Manager{Store: s, Keys: k, Revoker: &Revoker{Window: DefaultWindow}, Now: now}
}

// TestLongDelta: who is too far behind gets the whole list, which is kept; long deltas and more than a few are not.
func TestLongDelta(t *testing.T) {
	s := &listStore{state: ListState{Sequence: 200, Issued: noon}, each: maxDelta / 100}
	m := newLister(t, s, func() time.Time { return noon })
	get := func(since int64, reads int) int {
		t.Helper()
		s.reads = 0
		doc, err := m.SignedRevocations(t.Context(), since)
		if err != nil || doc.State != s.state {
			t.Fatal(doc.State, err)
		}
		if s.reads != reads {
			t.Errorf("since %d: %d reads, want %d", since, s.reads, reads)
		}
		return len(doc.Body)
	}
	whole := get(WholeList, 1)
	if n := get(99, 1); n != whole { // 101 steps
		t.Errorf("a delta of more than %d entries has %d bytes, want those of the whole list, %d", maxDelta, n, whole)
	}
	if n := get(101, 1); n >= whole/2 {
		t.Errorf("a delta of 99 steps of 200 has %d bytes of %d", n, whole)
	}
	get(101, 1) // longer than is kept
	get(199, 1)
	get(199, 0)
	for since := int64(180); since < 180+keptDeltas; since++ {
		get(since, 1)
	}
	get(199, 0) // the latest stays
	get(180, 1) // the oldest went
	get(WholeList, 0)
	if n := len(m.documents.made); n > keptDeltas+1 {
		t.Errorf("%d documents are kept", n)
	}
}

// TestRenewFails: a database that cannot be written to does not stop the list before next_update.
func TestRenewFails(t *testing.T) {
	now := noon
	s := &renewFails{listStore{state: ListState{Sequence: 2, Issued: noon}, each: 1}}
	m := newLister(t, &s.listStore, func() time.Time { return now })
	m.Store = s
	for _, test := range []struct {
		at   time.Duration
		good bool
	}{{0, true}, {renewAfter, true}, {listLife - time.Second, true}, {listLife, false}} {
		now = noon.Add(test.at)
		doc, err := m.SignedRevocations(t.Context(), WholeList)
		if (err == nil) != test.good || test.good && doc.State != s.state || !test.good && !errors.Is(err, errDisk) {
			t.Errorf("after %s: %+v, %v", test.at, doc.State, err)
		}
	}
}

var errDisk = errors.New("disk full")

type renewFails struct{ listStore }

func (*renewFails) RenewList(context.Context, ListState, ListState) (bool, error) {
	return false, errDisk
}

// TestDocumentsWhileListMoves: what is answered fits its state, though states come and go meanwhile.
func TestDocumentsWhileListMoves(t *testing.T) {
	s := &listStore{state: ListState{Sequence: 1, Issued: noon}, each: 1}
	m := newLister(t, s, func() time.Time { return noon })
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				doc, err := m.SignedRevocations(t.Context(), WholeList)
				if err != nil {
					t.Error(err)
					return
				}
				if state, err := m.RevocationState(t.Context()); err != nil || state.Sequence < doc.State.Sequence {
					t.Errorf("document of %+v while the list is at %+v, %v", doc.State, state, err)
				}
			}
		})
	}
	for sequence := int64(2); sequence < 50; sequence++ {
		s.set(ListState{Sequence: sequence, Issued: noon})
		if doc, err := m.SignedRevocations(t.Context(), sequence-1); err != nil || doc.State.Sequence != sequence {
			t.Errorf("document of %s at step %d, %v", fmt.Sprint(doc.State), sequence, err)
		}
	}
	all.Wait()
}
