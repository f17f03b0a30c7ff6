package revocation_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"authproxy/revocation"
)

// TestAge turns the clock, which has no monotonic part here, and wants the list to be no younger than it was.
func TestAge(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	const maxStale = 5 * time.Minute
	type step struct {
		turn  time.Duration
		age   time.Duration
		fresh bool
	}
	for name, steps := range map[string][]step{
		"time passes":         {{0, 0, true}, {maxStale - 1, maxStale - 1, true}, {1, maxStale, true}, {1, maxStale + 1, false}, {time.Hour, maxStale + 1 + time.Hour, false}},
		"set back when fresh": {{time.Minute, time.Minute, true}, {-time.Hour, time.Minute, true}, {time.Hour + time.Second, time.Minute + time.Second, true}},
		"set back when stale": {{maxStale + 1, maxStale + 1, false}, {-maxStale - 1, maxStale + 1, false}, {-24 * time.Hour, maxStale + 1, false}, {time.Minute, maxStale + 1, false}},
		"set forward":         {{24 * time.Hour, 24 * time.Hour, false}, {-24 * time.Hour, 24 * time.Hour, false}},
		"set back at once":    {{-time.Hour, 0, true}, {time.Hour + maxStale + 1, maxStale + 1, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := newClock(epoch)
			src := newSource(t, sends(keystone.list(t, id1)))
			p := &revocation.Poller{Source: src, Verifier: keystone.verifier(t), Now: now.now, MaxStale: maxStale}
			if err := p.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, s := range steps {
				now.add(s.turn)
				if age, known := p.Age(now.now()); !known || age != s.age {
					t.Errorf("step %d: age %v, want %v", i, age, s.age)
				}
				if got := p.Fresh(now.now()); got != s.fresh {
					t.Errorf("step %d: fresh %v", i, got)
				}
			}
			// Whatever the clock did before, a new list is new.
			if err := p.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
			if age, known := p.Age(now.now()); !known || age != 0 || !p.Fresh(now.now()) {
				t.Errorf("after a fetch: age %v", age)
			}
		})
	}
}

// TestAgeMonotonic gives Age times with a monotonic part, as time.Now does, while the wall clock is set back or the machine sleeps.
func TestAgeMonotonic(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	start := time.Now()
	now := start
	p := &revocation.Poller{Source: newSource(t, sends(keystone.list(t))), Verifier: keystone.verifier(t), Now: func() time.Time { return now }}
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if age, _ := p.Age(start.Add(time.Minute)); age != time.Minute {
		t.Errorf("age %v", age)
	}
	if age, _ := p.Age(start.Round(0).Add(time.Hour)); age != time.Hour { // the wall clock alone, which has gone on while asleep
		t.Errorf("age %v", age)
	}
	if p.Fresh(start.Add(2 * time.Minute)) {
		t.Error("fresh again")
	}
}

// TestAgeDuringOutage wants an outage that nobody looks at to leave its mark, too: each round notes the age.
func TestAgeDuringOutage(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	now := newClock(epoch)
	src := newSource(t, sends(keystone.list(t)))
	p := &revocation.Poller{Source: src, Verifier: keystone.verifier(t), Now: now.now}
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	src.set(down)
	now.add(time.Hour)
	if err := p.Poll(t.Context()); !errors.Is(err, errDown) {
		t.Fatal(err)
	}
	now.add(-time.Hour)
	if p.Fresh(now.now()) {
		t.Error("fresh after the clock was set back")
	}
}

func TestFreshDoesNotAllocate(t *testing.T) {
	keystone := newIdentity(t)
	p := &revocation.Poller{Source: newSource(t, sends(keystone.list(t))), Verifier: keystone.verifier(t)}
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if !p.Fresh(time.Now()) || p.Current() == nil {
			t.Fatal("not fresh")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestExpiredEntries wants an entry to stay until its token is of no use even beside a service token.
func TestExpiredEntries(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	ends := epoch.Format(time.RFC3339)
	src := newSource(t, sends(keystone.list(t, id1+"@"+ends, id2+"/"+audit1, "endless/x@")))
	now := newClock(epoch)
	var seen counts
	p := &revocation.Poller{Source: src, Verifier: keystone.verifier(t), Now: now.now, Metrics: &seen}
	for i, tc := range []struct {
		turn time.Duration
		want bool
	}{
		{0, true}, {47 * time.Hour, true}, {time.Hour, true}, // to the very end of the window
		{2 * time.Hour, false},   // an index of the same list may be an hour old
		{-50 * time.Hour, true},  // the clock was wrong, so all is judged again
		{-time.Second, true},     // a second before the index was built
		{240 * time.Hour, false}, // the same list for long
	} {
		now.add(tc.turn)
		if err := p.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := p.Current()
		if s.ContainsID(id1) != tc.want || s.HasEntriesWithoutAuditID() != tc.want || !s.ContainsID(id2) || !s.ContainsAuditID(audit1) || !s.ContainsID("endless") {
			t.Errorf("step %d: listed %v, want %v", i, s.ContainsID(id1), tc.want)
		}
		if want := map[bool]int{true: 3, false: 2}[tc.want]; s.Len() != want || seen.entries != want || seen.without != want-2 {
			t.Errorf("step %d: %d entries, counted %d, %d without audit id", i, s.Len(), seen.entries, seen.without)
		}
	}
	if seen.vanished != 0 {
		t.Errorf("%d entries said to have vanished", seen.vanished)
	}

	short := &revocation.Poller{Source: src, Verifier: keystone.verifier(t), Now: newClock(epoch.Add(2 * time.Hour)).now, AllowExpiredWindow: time.Hour}
	if err := short.Load(t.Context()); err != nil || short.Current().ContainsID(id1) {
		t.Errorf("window of an hour: still listed (%v)", err)
	}
}

func TestShrinkingList(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	soon := "@" + epoch.Add(4*time.Minute).Format(time.RFC3339)
	past := "@" + epoch.Add(-4*time.Minute).Format(time.RFC3339)
	all := []string{id1 + "/" + audit1, id2 + soon, id2, "text", "/audit", "a" + id1[1:] + soon, "b" + id1[1:] + past, "soon" + soon}
	for name, tc := range map[string]struct {
		next []string
		want int
	}{
		"same":                         {all, 0},
		"more":                         {append([]string{"more"}, all...), 0},
		"expired ones gone":            {all[:5], 0},
		"all gone":                     {nil, 3}, // of four, one by audit id only: as many as of one kind
		"one gone":                     {all[1:], 1},
		"one of text gone":             {append([]string{"more"}, all[:3]...), 1},
		"by audit id only, gone":       {append([]string{"more"}, all[:4]...), 1},
		"audit id gone, id still here": {append([]string{id1}, all[1:]...), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen counts
			var book logBook
			src := newSource(t, sends(keystone.list(t, all...)))
			p := &revocation.Poller{Source: src, Verifier: keystone.verifier(t), Metrics: &seen, Log: book.logger(), Now: newClock(epoch).now}
			if err := p.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			src.set(sends(keystone.list(t, tc.next...)))
			if err := p.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
			if seen.vanished != tc.want || p.Status().Vanished != tc.want || (book.count("level=WARN", "replayed") == 1) != (tc.want > 0) {
				t.Errorf("vanished %d, status %d, want %d", seen.vanished, p.Status().Vanished, tc.want)
			}
			// A list that shrank counts all the same: Keystone may be right.
			if p.Current().ContainsID(id1) != (name != "all gone" && name != "one gone") {
				t.Error("the new list is not in force")
			}
		})
	}
}

func TestLogsOnce(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	var book logBook
	src := newSource(t, down)
	p := &revocation.Poller{Source: src, Verifier: keystone.verifier(t), Log: book.logger()}
	for _, tc := range []struct {
		fetch func(context.Context) ([]byte, error)
		words []string
	}{
		{down, []string{"level=WARN", "reason=unavailable", "connection refused"}},
		{down, nil},
		{sends(nil), []string{"level=WARN", "reason=malformed"}},
		{sends(nil), nil},
		{down, []string{"level=WARN", "reason=unavailable"}},
		{sends(keystone.list(t, id1)), []string{"level=INFO", "up to date again", "failures=5"}},
		{sends(keystone.list(t, id1)), nil},
	} {
		book.count()
		src.set(tc.fetch)
		_ = p.Poll(t.Context())
		want := 0
		if tc.words != nil {
			want = 1
		}
		if book.count("level=") != want || tc.words != nil && book.count(tc.words...) != 1 {
			t.Errorf("want a line with %q, got:\n%s", tc.words, book.text.String())
		}
	}
}
