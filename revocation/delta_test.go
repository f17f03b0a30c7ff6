package revocation_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"authproxy/certs"
	"authproxy/certs/certstest"
	"authproxy/revocation"
)

const life = 10 * time.Minute

func TestParseDelta(t *testing.T) {
	t.Parallel()
	const head = `{"delta":{"from":1,"to":2},"sequence":2,"issued":"2036-12-31T23:00:00Z","next_update":"2037-01-01T00:00:00Z"`
	for name, tc := range map[string]struct {
		in  string
		err error
	}{
		"good":                 {head + `,"added":[{"id":"x"}]}`, nil},
		"nothing added":        {head + `,"added":[]}`, nil},
		"nothing new":          {strings.ReplaceAll(head, `"from":1`, `"from":2`) + `,"added":[]}`, nil},
		"more members":         {strings.Replace(head, `"to":2`, `"to":2,"by":[1]`, 1) + `,"x":{},"added":[]}`, nil},
		"list":                 {`{"revoked":[]}`, revocation.ErrNotADelta},
		"token":                {`{"token":{}}`, revocation.ErrNotADelta},
		"delta and list":       {head + `,"added":[],"revoked":[]}`, revocation.ErrMalformed},
		"list and added":       {`{"revoked":[],"added":[]}`, revocation.ErrMalformed},
		"delta and token":      {head + `,"added":[],"token":{}}`, revocation.ErrNotADelta},
		"nothing to add":       {head + `}`, revocation.ErrMalformed},
		"only added":           {`{"added":[]}`, revocation.ErrMalformed},
		"added twice":          {head + `,"added":[{"id":"x"}],"added":[]}`, revocation.ErrMalformed},
		"backwards":            {strings.ReplaceAll(head, `"from":1`, `"from":3`) + `,"added":[]}`, revocation.ErrMalformed},
		"no step, entries":     {strings.ReplaceAll(head, `"from":1`, `"from":2`) + `,"added":[{"id":"x"}]}`, revocation.ErrMalformed},
		"from 0":               {strings.ReplaceAll(head, `"from":1`, `"from":0`) + `,"added":[]}`, revocation.ErrMalformed},
		"no from":              {strings.ReplaceAll(head, `"from":1,`, ``) + `,"added":[]}`, revocation.ErrMalformed},
		"other sequence":       {strings.ReplaceAll(head, `"sequence":2`, `"sequence":3`) + `,"added":[]}`, revocation.ErrMalformed},
		"no issued":            {strings.ReplaceAll(head, `"issued"`, `"iss"`) + `,"added":[]}`, revocation.ErrMalformed},
		"no next_update":       {strings.ReplaceAll(head, `"next_update"`, `"next"`) + `,"added":[]}`, revocation.ErrMalformed},
		"delta is no object":   {`{"delta":[1,2],"sequence":2,"added":[]}`, revocation.ErrMalformed},
		"delta is null":        {`{"delta":null,"added":[]}`, revocation.ErrMalformed},
		"entry without ids":    {head + `,"added":[{}]}`, revocation.ErrMalformed},
		"bytes behind the end": {head + `,"added":[]}x`, revocation.ErrMalformed},
	} {
		d, err := revocation.ParseDelta([]byte(tc.in))
		if !errors.Is(err, tc.err) || (d == nil) != (tc.err != nil) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		if _, err := revocation.ParseList([]byte(tc.in)); (err == nil) != (name == "list") {
			t.Errorf("%s, as a list: %v", name, err)
		}
	}
	d, err := revocation.ParseDelta([]byte(head + `,"added":[{"id":"x"}]}`))
	end := time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC)
	if err != nil || d.From != 1 || d.To != 2 || len(d.Added) != 1 || d.Added[0].ID != "x" || !d.Issued.Equal(end.Add(-time.Hour)) || !d.NextUpdate.Equal(end) {
		t.Errorf("%+v, %v", d, err)
	}
}

func kinds(p *revocation.Poller) string {
	s := p.Status()
	return fmt.Sprint(s.Lists, " lists, ", s.Deltas, " deltas, ", s.NotModified, " not modified, sequence ", s.Sequence)
}

// TestDeltas follows a backend that numbers its lists.
func TestDeltas(t *testing.T) {
	t.Parallel()
	now := newClock(epoch)
	b := newBackend(t).at(now)
	b.revoke(id1)
	p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now}
	for i, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, "1 lists, 0 deltas, 0 not modified, sequence 2"},
		{func() {}, "1 lists, 0 deltas, 1 not modified, sequence 2"},
		{func() { b.revoke(id2, "/"+audit1) }, "1 lists, 1 deltas, 1 not modified, sequence 3"},
		{func() { b.revoke("x"); b.revoke(); b.revoke("y") }, "1 lists, 2 deltas, 1 not modified, sequence 6"},
		{func() { now.add(life) }, "1 lists, 3 deltas, 1 not modified, sequence 6"}, // signed anew
		{func() { b.change(func() { b.oldest = 100 }) }, "1 lists, 3 deltas, 2 not modified, sequence 6"},
		{func() { b.revoke("z") }, "2 lists, 3 deltas, 2 not modified, sequence 7"},
	} {
		now.add(time.Second)
		step.do()
		if err := p.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := kinds(p); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
		if age, known := p.Age(now.now()); age != 0 || !known || !p.Fresh(now.now()) || !p.Current().FetchedAt().Equal(now.now()) {
			t.Errorf("step %d: age %v, fresh %v", i, age, p.Fresh(now.now()))
		}
		if s := p.Status(); !s.Issued.Equal(b.issued) || !s.NextUpdate.Equal(b.issued.Add(life)) || s.Overdue || s.Vanished != 0 {
			t.Errorf("step %d: status %+v", i, s)
		}
	}
	for _, id := range []string{id1, id2, "x", "y", "z"} {
		if !p.Current().ContainsID(id) {
			t.Errorf("%s is not listed", id)
		}
	}
	if !p.Current().ContainsAuditID(audit1) || p.Current().Len() != 6 {
		t.Errorf("%d entries", p.Current().Len())
	}
}

// TestRefusedChanges sends all that must not take effect to a proxy that has the list of sequence 5.
func TestRefusedChanges(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	stranger := newIdentity(t)
	at := epoch.Add(-time.Minute)
	list := func(sequence uint64, issued time.Time) []byte {
		return sign(t, b.signer, numberedList(t, sequence, issued, life, "new"))
	}
	delta := func(from, to uint64, issued time.Time, entries ...string) []byte {
		return sign(t, b.signer, deltaContent(t, from, to, issued, life, entries...))
	}
	good := list(6, epoch)
	for _, tc := range []struct {
		name    string
		changes []byte // the answer to a question for what is new; nil is "not modified"
		whole   []byte // the answer to one for the whole list; nil: there is none
		result  revocation.Result
		isNew   bool // the new entry is in force
	}{
		{"delta", delta(5, 6, epoch, "new"), nil, revocation.ResultOK, true},
		{"delta over steps", delta(5, 9, epoch, "new"), nil, revocation.ResultOK, true},
		{"delta by a clock that is late", delta(5, 6, at.Add(-time.Hour), "new"), nil, revocation.ResultOK, true},
		{"nothing new", delta(5, 5, epoch), nil, revocation.ResultOK, false},
		{"newer list", good, nil, revocation.ResultOK, true},
		{"list signed anew", list(5, epoch), nil, revocation.ResultOK, true},
		{"not modified", nil, nil, revocation.ResultOK, false},

		{"older list", list(4, epoch), list(4, epoch), revocation.ResultReplayed, false},
		{"same sequence, issued earlier", list(5, at.Add(-time.Second)), list(5, at.Add(-time.Second)), revocation.ResultReplayed, false},
		{"higher sequence, issued earlier", list(6, at.Add(-time.Second)), list(6, at.Add(-time.Second)), revocation.ResultReplayed, false},
		{"no sequence", b.list(t, "new"), b.list(t, "new"), revocation.ResultReplayed, false},
		{"issued in the future", list(6, epoch.Add(5*time.Minute+2*time.Second)), list(6, epoch.Add(time.Hour)), revocation.ResultFuture, false},
		{"delta issued in the future", delta(5, 6, epoch.Add(time.Hour), "new"), list(6, epoch.Add(time.Hour)), revocation.ResultFuture, false},
		{"clock a little ahead", list(6, epoch.Add(5*time.Minute+time.Second)), nil, revocation.ResultOK, true},
		{"delta for the list", delta(7, 8, epoch, "new"), delta(5, 6, epoch, "new"), revocation.ResultDeltaForList, false},
		{"token", sign(t, b.signer, []byte(`{"token":{}}`)), sign(t, b.signer, []byte(`{"token":{}}`)), revocation.ResultNotAList, false},
		{"list and delta in one", sign(t, b.signer, []byte(`{"revoked":[],"delta":{"from":5,"to":6},"added":[]}`)), []byte("x"), revocation.ResultMalformed, false},
		{"stranger's delta", sign(t, stranger.signer, deltaContent(t, 5, 6, epoch, life, "new")), stranger.list(t), revocation.ResultUnknownSigner, false},
		{"gap, and nobody there", delta(6, 7, epoch, "new"), nil, revocation.ResultUnavailable, false},

		// What is wrong with a delta is mended by the whole list in the same round.
		{"gap", delta(6, 7, epoch, "not this"), good, revocation.ResultOK, true},
		{"overlap", delta(4, 6, epoch, "not this"), good, revocation.ResultOK, true},
		{"old delta", delta(4, 5, epoch, "not this"), good, revocation.ResultOK, true},
		{"backwards", sign(t, b.signer, []byte(`{"delta":{"from":5,"to":4},"added":[]}`)), good, revocation.ResultOK, true},
		{"nothing new, said long ago", delta(5, 5, at.Add(-time.Second)), good, revocation.ResultOK, true},
		{"garbage", []byte("<html>"), good, revocation.ResultOK, true},
		{"token, then list", sign(t, b.signer, []byte(`{"token":{}}`)), good, revocation.ResultOK, true},
		{"stranger's delta, then list", sign(t, stranger.signer, deltaContent(t, 5, 6, epoch, life, "not this")), good, revocation.ResultOK, true},
		{"older list, then newer", list(4, epoch), good, revocation.ResultOK, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			now := newClock(epoch)
			var seen counts
			src := &backend{identity: b.identity, t: t, now: now.now}
			first := sign(t, b.signer, numberedList(t, 5, at, life, id1))
			src.answers = func(revocation.Have) (revocation.Answer, error) {
				return revocation.Answer{Signed: first, ETag: `"5"`}, nil
			}
			p := &revocation.Poller{Source: src, Verifier: b.verifier(t), Now: now.now, Metrics: &seen}
			if err := p.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := p.Current()
			src.take()
			src.change(func() {
				src.answers = func(have revocation.Have) (revocation.Answer, error) {
					switch {
					case have == revocation.Have{Sequence: 5, ETag: `"5"`} && tc.changes == nil:
						return revocation.Answer{NotModified: true, ETag: `"5"`}, nil
					case have == revocation.Have{Sequence: 5, ETag: `"5"`}:
						return revocation.Answer{Signed: tc.changes, ETag: `"6"`}, nil
					case have == revocation.Have{} && tc.whole != nil:
						return revocation.Answer{Signed: tc.whole, ETag: `"7"`}, nil
					}
					return revocation.Answer{}, errDown
				}
			})
			now.add(time.Second)
			err := p.Poll(t.Context())
			s := p.Status()
			if s.LastResult != tc.result || (err == nil) != (tc.result == revocation.ResultOK) || seen.polls[tc.result] == 0 || !slices.Contains(revocation.Results(), tc.result) {
				t.Errorf("%v, status %+v", err, s)
			}
			if p.Current().ContainsID("new") != tc.isNew || p.Current().ContainsID("not this") {
				t.Error("wrong list in force")
			}
			if err != nil && p.Current() != before || !before.ContainsID(id1) {
				t.Error("the last good list did not stay")
			}
			if age, _ := p.Age(now.now()); (age == 0) != (err == nil) {
				t.Errorf("age %v", age)
			}
			if n := len(src.take()); n > 2 {
				t.Errorf("%d questions in a round", n)
			}
			if tc.result == revocation.ResultFuture && !errors.Is(err, revocation.ErrMalformed) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAfterRefusal wants a source that goes on sending bad changes to be asked for the whole list.
func TestAfterRefusal(t *testing.T) {
	t.Parallel()
	now := newClock(epoch)
	b := newBackend(t).at(now)
	p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now}
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.change(func() {
		b.answers = func(revocation.Have) (revocation.Answer, error) {
			return revocation.Answer{Signed: []byte("garbage")}, nil
		}
	})
	if err := p.Poll(t.Context()); err == nil {
		t.Fatal("garbage was taken")
	}
	b.take()
	b.change(func() { b.answers = nil })
	b.revoke(id1)
	if err := p.Poll(t.Context()); err != nil || !p.Current().ContainsID(id1) {
		t.Fatal(err)
	}
	if asked := b.take(); len(asked) != 1 || asked[0] != (revocation.Have{}) {
		t.Errorf("asked %+v", asked)
	}
}

// TestNextUpdate wants a list that should have been replaced not to be fresh, even where MaxStale would let it be, whatever the
// clock does, and over a restart.
func TestNextUpdate(t *testing.T) {
	t.Parallel()
	now := newClock(epoch)
	b := newBackend(t).at(now)
	dir := t.TempDir()
	p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now, MaxStale: time.Hour, Dir: dir}
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.change(func() {
		b.answers = func(revocation.Have) (revocation.Answer, error) { return revocation.Answer{}, errDown }
	})
	for _, step := range []struct {
		turn  time.Duration
		fresh bool
	}{{life, true}, {time.Second, false}, {-time.Hour, false}, {time.Hour, false}, {10 * time.Minute, false}} {
		now.add(step.turn)
		if p.Fresh(now.now()) != step.fresh || p.Status().Overdue == step.fresh {
			t.Errorf("after %v: fresh %v, status %+v", step.turn, p.Fresh(now.now()), p.Status())
		}
	}
	// The kept list knows it, too.
	next := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now, MaxStale: time.Hour, Dir: dir}
	if err := next.Load(t.Context()); err != nil || next.Fresh(now.now()) || !next.Status().Overdue {
		t.Errorf("after a restart: %v, status %+v", err, next.Status())
	}
	// And so does "not modified", which anybody could say.
	b.change(func() {
		b.answers = func(revocation.Have) (revocation.Answer, error) {
			return revocation.Answer{NotModified: true}, nil
		}
	})
	if err := p.Poll(t.Context()); err != nil || p.Fresh(now.now()) {
		t.Errorf("%v, fresh %v", err, p.Fresh(now.now()))
	}
	b.change(func() { b.answers = nil })
	if err := p.Poll(t.Context()); err != nil || !p.Fresh(now.now()) {
		t.Errorf("%v, status %+v", err, p.Status())
	}
}

// TestNotModifiedNeedsSigners wants "not modified" to be worth as much as the signatures that it stands for.
func TestNotModifiedNeedsSigners(t *testing.T) {
	t.Parallel()
	now := newClock(time.Now())
	b := newBackend(t).at(now)
	old := b.signer
	next := b.ca.Issue(t, certstest.ECDSAP256)
	v := newVerifier(bundle(t, b.ca, old, next))
	p := &revocation.Poller{Source: b, Verifier: v, Now: now.now}
	poll := func(want string) {
		t.Helper()
		now.add(time.Second)
		if err := p.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := kinds(p); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	poll("1 lists, 0 deltas, 0 not modified, sequence 1")
	b.signer = next
	b.revoke(id1)
	poll("1 lists, 1 deltas, 0 not modified, sequence 2")
	poll("1 lists, 1 deltas, 1 not modified, sequence 2")
	if got := p.Status().Signer; got != next.Cert.Subject.String() {
		t.Errorf("signer %q", got)
	}
	// The list is the old one's word still, so it is fetched again when he leaves.
	v.current.Store(bundle(t, b.ca, next))
	poll("2 lists, 1 deltas, 1 not modified, sequence 2")
	poll("2 lists, 1 deltas, 2 not modified, sequence 2")
	// When the certificate ends, so does what it signed.
	now.add(time.Until(next.Cert.NotAfter))
	b.change(func() {
		b.answers = func(have revocation.Have) (revocation.Answer, error) {
			if have.ETag != "" {
				return revocation.Answer{NotModified: true}, nil
			}
			return revocation.Answer{Signed: sign(t, next, numberedList(t, 2, now.now(), life, id1))}, nil
		}
	})
	if err := p.Poll(t.Context()); !errors.Is(err, certs.ErrSignerExpired) || p.Fresh(now.now()) {
		t.Errorf("%v, status %+v", err, p.Status())
	}
}

// TestNoWayBack wants a number once seen to count after restarts as well, until the operator removes the file.
func TestNoWayBack(t *testing.T) {
	t.Parallel()
	now := newClock(epoch)
	b := newBackend(t).at(now)
	dir := t.TempDir()
	b.revoke(id1)
	p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now, Dir: dir}
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.revoke(id2)
	if err := p.Poll(t.Context()); err != nil || p.Status().Sequence != 3 {
		t.Fatal(err)
	}
	older := b.list(t, "unnumbered")
	next := b.ca.Issue(t, certstest.ECDSAP256)
	for _, tc := range []struct {
		name   string
		signer *certstest.Signer
		list   []byte
	}{
		{"no number", b.signer, older},
		{"smaller number", b.signer, sign(t, b.signer, numberedList(t, 2, epoch, life, id1))},
		{"no number, new signer", next, sign(t, next, listContent(t))},
		{"smaller number, new signer", next, sign(t, next, numberedList(t, 1, epoch.Add(time.Second), life))},
	} {
		src := newSource(t, sends(tc.list))
		p := &revocation.Poller{Source: src, Verifier: newVerifier(bundle(t, b.ca, tc.signer)), Now: now.now, Dir: dir}
		_ = p.Load(t.Context())
		if s := p.Status(); s.LastResult != revocation.ResultReplayed || s.Held != (tc.signer == b.signer) || !strings.Contains(s.LastError, "remove revoked.pem") {
			t.Errorf("%s: status %+v", tc.name, s)
		}
	}
	if err := os.Remove(filepath.Join(dir, "revoked.pem")); err != nil {
		t.Fatal(err)
	}
	p = &revocation.Poller{Source: newSource(t, sends(older)), Verifier: b.verifier(t), Now: now.now, Dir: dir}
	if err := p.Load(t.Context()); err != nil || !p.Current().ContainsID("unnumbered") || p.Current().ContainsID(id2) {
		t.Errorf("without the file: %v, status %+v", err, p.Status())
	}
	// A list without number after one without number is what any other Keystone sends.
	if err := p.Poll(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestClockJumps turns the wall clock and lets the monotonic one go on.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	now, mono := newClock(time.Now()), newClock(time.Unix(0, 0))
	b.at(now)
	var book logBook
	p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now, Log: book.logger(),
		Monotonic: func() time.Duration { return mono.now().Sub(time.Unix(0, 0)) }}
	for i, step := range []struct{ wall, mono, jump time.Duration }{
		{0, 0, 0},
		{10 * time.Second, 10 * time.Second, 0},
		{10*time.Second + 900*time.Millisecond, 10 * time.Second, 0}, // a clock that is being disciplined
		{10 * time.Second, 10*time.Second + 900*time.Millisecond, 0},
		{time.Hour, 10 * time.Second, time.Hour - 10*time.Second},
		{10 * time.Second, 10 * time.Second, 0}, // once is enough
		{-time.Minute, 10 * time.Second, -70 * time.Second},
		{10 * time.Second, 10 * time.Second, 0},
	} {
		book.count()
		before := p.Status()
		now.add(step.wall)
		mono.add(step.mono)
		_ = p.Poll(t.Context())
		s := p.Status()
		jumps := 0
		if step.jump != 0 {
			jumps = 1
			if s.LastClockJump != step.jump.Seconds() || !s.LastClockJumpAt.Equal(now.now()) {
				t.Errorf("step %d: status %+v", i, s)
			}
		}
		if s.ClockJumps != before.ClockJumps+jumps || book.count("level=WARN", "clock has jumped") != jumps {
			t.Errorf("step %d: status %+v, log:\n%s", i, s, book.text.String())
		}
	}
}

// TestClockSetBack wants the whole list anew when the clock was ahead as entries were left out.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	now := newClock(epoch.Add(240 * time.Hour))
	b := &backend{identity: keystone, t: t, now: now.now}
	signed := keystone.list(t, id1+"@"+epoch.Add(time.Hour).Format(time.RFC3339))
	b.answers = func(have revocation.Have) (revocation.Answer, error) {
		if have.ETag != "" {
			return revocation.Answer{NotModified: true}, nil
		}
		return revocation.Answer{Signed: signed, ETag: `"x"`}, nil // from a cache in between, say: stock Keystones have no ETag
	}
	p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now}
	if err := p.Load(t.Context()); err != nil || p.Current().ContainsID(id1) {
		t.Fatalf("%v, %d entries", err, p.Current().Len())
	}
	if err := p.Poll(t.Context()); err != nil || p.Status().NotModified != 1 {
		t.Fatalf("%v, status %+v", err, p.Status())
	}
	now.add(-240 * time.Hour)
	if err := p.Poll(t.Context()); err != nil || !p.Current().ContainsID(id1) {
		t.Errorf("%v, status %+v", err, p.Status())
	}
}

// TestClockAhead wants a clock that runs ahead to let no entry go early where the signer says what time it is.
func TestClockAhead(t *testing.T) {
	t.Parallel()
	now := newClock(epoch)
	b := newBackend(t).at(now)
	soon := "@" + epoch.Add(time.Hour).Format(time.RFC3339)
	b.revoke("list" + soon)
	issued := b.issued
	ahead := newClock(epoch.Add(240 * time.Hour))
	p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: ahead.now}
	for _, step := range []string{"", "delta"} {
		if step != "" {
			b.revoke(step + soon)
		}
		if err := p.Poll(t.Context()); err != nil || !p.Current().ContainsID("list") || step != "" && !p.Current().ContainsID(step) {
			t.Errorf("%q: %v, %d entries", step, err, p.Current().Len())
		}
	}
	if p.Fresh(ahead.now()) || !b.issued.Equal(issued) {
		t.Error("fresh by a clock by which it is long overdue")
	}
}

// TestReplayAfterRenewal has a list said to be still good, by an empty delta, and then sent as it was: that is older.
func TestReplayAfterRenewal(t *testing.T) {
	t.Parallel()
	now := newClock(epoch)
	b := newBackend(t).at(now)
	first := sign(t, b.signer, numberedList(t, 5, epoch.Add(-time.Minute), life, id1))
	answers := [][]byte{first, sign(t, b.signer, deltaContent(t, 5, 5, epoch, life)), first}
	b.answers = func(revocation.Have) (revocation.Answer, error) {
		return revocation.Answer{Signed: answers[0]}, nil
	}
	p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now}
	for i, want := range []revocation.Result{revocation.ResultOK, revocation.ResultOK, revocation.ResultReplayed} {
		_ = p.Poll(t.Context())
		if s := p.Status(); s.LastResult != want || !s.Held {
			t.Errorf("step %d: status %+v", i, s)
		}
		b.change(func() { answers = answers[1:] })
		if len(answers) == 0 {
			break
		}
	}
	if s := p.Status(); !s.Issued.Equal(epoch) {
		t.Errorf("status %+v", s)
	}
}

// TestSignerLeavesAtWork takes a signer away while an answer is waited for, and before a delta by another one comes: what the
// first one signed does not go on counting.
func TestSignerLeavesAtWork(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	old, next := b.signer, b.ca.Issue(t, certstest.ECDSAP256)
	v := newVerifier(bundle(t, b.ca, old, next))
	p := &revocation.Poller{Source: b, Verifier: v}
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.change(func() {
		b.answers = func(have revocation.Have) (revocation.Answer, error) {
			b.change(func() { b.answers = nil })
			v.current.Store(bundle(t, b.ca, next))
			b.change(func() { b.signer = next })
			return revocation.Answer{NotModified: true}, nil
		}
	})
	if err := p.Poll(t.Context()); err != nil || kinds(p) != "2 lists, 0 deltas, 0 not modified, sequence 1" {
		t.Errorf("while it waited: %v, %s", err, kinds(p))
	}

	v.current.Store(bundle(t, b.ca, old, next))
	b.change(func() { b.signer = old })
	b.revoke(id1)
	if err := p.Poll(t.Context()); err != nil || kinds(p) != "2 lists, 1 deltas, 0 not modified, sequence 2" {
		t.Fatalf("%v, %s", err, kinds(p))
	}
	v.current.Store(bundle(t, b.ca, next))
	b.change(func() { b.signer = next })
	b.revoke(id2)
	if err := p.Poll(t.Context()); err != nil || kinds(p) != "3 lists, 1 deltas, 0 not modified, sequence 3" || !p.Current().ContainsID(id1) {
		t.Errorf("before a delta: %v, %s", err, kinds(p))
	}
}
