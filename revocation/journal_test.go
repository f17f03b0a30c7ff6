package revocation_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"authproxy/certs/certstest"
	"authproxy/revocation"
)

func downNow(revocation.Have) (revocation.Answer, error) { return revocation.Answer{}, errDown }

// restart is a proxy that begins with what is in dir, and finds nobody to ask.
func restart(t *testing.T, b *backend, dir string, now *clock) *revocation.Poller {
	t.Helper()
	offline := &backend{identity: b.identity, t: t, now: now.now, answers: downNow}
	p := &revocation.Poller{Source: offline, Verifier: b.verifier(t), Now: now.now, Dir: dir}
	if err := p.Load(t.Context()); err != nil && !errors.Is(err, errDown) {
		t.Fatal(err)
	}
	return p
}

// kept makes a directory with a list and three deltas, fetched a minute apart, and tells when the last was.
func kept(t *testing.T, b *backend, now *clock) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "signing")
	p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now, Dir: dir}
	b.revoke("e0")
	for i := range 4 {
		if i > 0 {
			now.add(time.Minute)
			b.revoke(fmt.Sprint("e", i))
		}
		if err := p.Poll(t.Context()); err != nil || p.Status().DiskError != "" {
			t.Fatalf("%v, status %+v", err, p.Status())
		}
	}
	if s := p.Status(); s.Lists != 1 || s.Deltas != 3 {
		t.Fatalf("status %+v", s)
	}
	return dir
}

func listed(p *revocation.Poller) string {
	var ids []string
	for i := range 10 {
		if id := fmt.Sprint("e", i); p.Current().ContainsID(id) {
			ids = append(ids, id)
		}
	}
	return strings.Join(ids, " ")
}

func TestJournal(t *testing.T) {
	t.Parallel()
	now := newClock(epoch)
	b := newBackend(t).at(now)
	dir := kept(t, b, now)
	now.add(time.Minute)
	p := restart(t, b, dir, now)
	s := p.Status()
	if listed(p) != "e0 e1 e2 e3" || s.Sequence != 5 || !s.FromDisk || !s.Fresh || s.AgeSeconds != 60 || s.DiskError != "" {
		t.Errorf("%s, status %+v", listed(p), s)
	}
	if info, err := os.Lstat(filepath.Join(dir, "revoked.deltas")); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// It goes on where it was: with a delta, and that behind the others.
	b.revoke("e4")
	p = &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now, Dir: dir}
	b.take()
	if err := p.Load(t.Context()); err != nil || listed(p) != "e0 e1 e2 e3 e4" {
		t.Errorf("%v, %s", err, listed(p))
	}
	if asked := b.take(); len(asked) != 1 || asked[0].Sequence != 5 {
		t.Errorf("asked %+v", asked)
	}
	if p := restart(t, b, dir, now); listed(p) != "e0 e1 e2 e3 e4" || p.Status().AgeSeconds != 0 {
		t.Errorf("%s, status %+v", listed(p), p.Status())
	}
	noLitter(t, dir)
}

// TestJournalCost wants a delta to cost the disk what it adds.
func TestJournalCost(t *testing.T) {
	t.Parallel()
	now := newClock(epoch)
	b := newBackend(t).at(now)
	many := make([]string, 20_000)
	for i := range many {
		many[i] = numbered32(i)
	}
	b.revoke(many...)
	dir := t.TempDir()
	p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now, Dir: dir}
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := os.Lstat(filepath.Join(dir, "revoked.pem"))
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for i := range 100 {
		now.add(time.Second)
		b.revoke(fmt.Sprint("e", i))
		if err := p.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		journal, err := os.Lstat(filepath.Join(dir, "revoked.deltas"))
		if err != nil || journal.Size()-size > 1024 {
			t.Fatalf("%d bytes for a revocation, %v", journal.Size()-size, err)
		}
		size = journal.Size()
	}
	if after, err := os.Lstat(filepath.Join(dir, "revoked.pem")); err != nil || !os.SameFile(list, after) || !after.ModTime().Equal(list.ModTime()) {
		t.Errorf("the list was written again: %v", err)
	}
	// Nothing new: the record gives way to the next.
	for range 20 {
		now.add(life)
		if err := p.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if journal, err := os.Lstat(filepath.Join(dir, "revoked.deltas")); err != nil || journal.Size()-size > 1024 {
		t.Errorf("%d bytes for nothing new, %v", journal.Size()-size, err)
	}
	if p := restart(t, b, dir, now); !p.Status().Fresh || p.Current().Len() != 20_100 {
		t.Errorf("status %+v", p.Status())
	}
	b.revoke("last")
	if err := p.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := restart(t, b, dir, now); !p.Current().ContainsID("last") || p.Current().Len() != 20_101 {
		t.Errorf("status %+v", p.Status())
	}
}

// TestJournalTorn cuts the journal off at every byte, as a crash may: what was whole counts, what was not is gone, and the next
// delta is written in its place.
func TestJournalTorn(t *testing.T) {
	t.Parallel()
	now := newClock(epoch)
	b := newBackend(t).at(now)
	dir := kept(t, b, now)
	path := filepath.Join(dir, "revoked.deltas")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var ends []int // of records
	for at := 0; ; {
		n := bytes.Index(whole[at:], []byte("-----END CMS-----\n"))
		if n < 0 {
			break
		}
		at += n + len("-----END CMS-----\n")
		ends = append(ends, at)
	}
	if len(ends) != 3 || ends[2] != len(whole) {
		t.Fatalf("records end at %v of %d", ends, len(whole))
	}
	for cut := 0; cut <= len(whole); cut++ {
		// Every byte of the last record, and around the ends of the others, which are made alike.
		near := func(end int) bool { return cut > end-4 && cut < end+4 }
		if cut < ends[1] && cut%13 != 0 && !slices.ContainsFunc(ends, near) || testing.Short() && cut%37 != 0 {
			continue
		}
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		p := restart(t, b, dir, now)
		want, sequence := "e0", uint64(2)
		for i, end := range ends {
			if cut >= end {
				want += fmt.Sprint(" e", i+1)
				sequence++
			}
		}
		s := p.Status()
		if listed(p) != want || s.Sequence != sequence || s.DiskError != "" {
			t.Fatalf("cut at %d: %s, want %s; status %+v", cut, listed(p), want, s)
		}
		// What is left is as old as it is.
		if !s.AgeKnown || s.AgeSeconds != float64(60*(5-sequence)) {
			t.Fatalf("cut at %d: status %+v", cut, s)
		}
		if cut%101 == 0 || cut == len(whole)-1 {
			next := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now, Dir: dir}
			if err := next.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if p := restart(t, b, dir, now); listed(p) != "e0 e1 e2 e3" || !p.Fresh(now.now()) || p.Status().DiskError != "" {
				t.Fatalf("cut at %d, one more life: %s, status %+v", cut, listed(p), p.Status())
			}
		}
	}
}

// TestJournalTampered changes the journal between two lives: a list that somebody made up is never in force.
func TestJournalTampered(t *testing.T) {
	t.Parallel()
	base := newBackend(t)
	stranger := newIdentity(t)
	records := func(text []byte) (r [][]byte) {
		for part := range bytes.SplitAfterSeq(text, []byte("-----END CMS-----\n")) {
			if len(part) > 0 {
				r = append(r, part)
			}
		}
		return r
	}
	header := func(record []byte) []byte { return record[:bytes.IndexByte(record, '\n')+1] }
	for name, tc := range map[string]struct {
		change  func(b *backend, dir string, journal []byte) []byte
		want    string
		problem string
	}{
		"nothing":           {func(_ *backend, _ string, j []byte) []byte { return j }, "e0 e1 e2 e3", ""},
		"bit in the middle": {func(_ *backend, _ string, j []byte) []byte { j[len(j)/2] ^= 1; return j }, "e0 e1", "record 2"},
		"bit at the end":    {func(_ *backend, _ string, j []byte) []byte { j[len(j)-100] ^= 1; return j }, "e0 e1 e2", "record 3"},
		"order": {func(_ *backend, _ string, j []byte) []byte {
			r := records(j)
			return bytes.Join([][]byte{r[0], r[2], r[1]}, nil)
		}, "e0 e1", "record 2"},
		"one left out": {func(_ *backend, _ string, j []byte) []byte { r := records(j); return append(r[0], r[2]...) }, "e0 e1", "record 2"},
		"one twice": {func(_ *backend, _ string, j []byte) []byte {
			r := records(j)
			return bytes.Join([][]byte{r[0], r[0], r[1]}, nil)
		}, "e0 e1", "record 2"},
		"the last left out": {func(_ *backend, _ string, j []byte) []byte {
			r := records(j)
			return append(r[0], r[1]...)
		}, "e0 e1 e2", ""},
		"list in a delta's place": {func(b *backend, _ string, j []byte) []byte {
			r := records(j)
			return append(r[0], append(header(r[1]), sign(t, b.signer, numberedList(t, 9, epoch, life))...)...)
		}, "e0 e1", "not a delta"},
		"token in a delta's place": {func(b *backend, _ string, j []byte) []byte {
			r := records(j)
			return append(r[0], append(header(r[1]), sign(t, b.signer, []byte(`{"token":{}}`))...)...)
		}, "e0 e1", "record 2"},
		"stranger's delta": {func(b *backend, _ string, j []byte) []byte {
			r := records(j)
			return append(r[0], append(header(r[1]), sign(t, stranger.signer, deltaContent(t, 3, 4, epoch, life, "e9"))...)...)
		}, "e0 e1", "record 2"},
		"another delta of the signer": {func(b *backend, _ string, j []byte) []byte { // which may be of another database
			r := records(j)
			return append(r[0], append(header(r[1]), sign(t, b.signer, deltaContent(t, 3, 4, epoch, life, "e9"))...)...)
		}, "e0 e1", "another list"},
		"garbage":      {func(*backend, string, []byte) []byte { return []byte("x\ny\n") }, "e0", "record 1"},
		"long line":    {func(*backend, string, []byte) []byte { return bytes.Repeat([]byte("x"), 1<<20) }, "e0", "record 1"},
		"zeros behind": {func(_ *backend, _ string, j []byte) []byte { return append(j, make([]byte, 4096)...) }, "e0 e1 e2 e3", ""},
		"gone":         {func(*backend, string, []byte) []byte { return nil }, "e0", ""},
		"newer list written, journal not yet removed": {func(b *backend, dir string, j []byte) []byte {
			now := newClock(epoch.Add(3 * time.Minute))
			other := t.TempDir()
			p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now, Dir: other}
			if err := p.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"revoked.pem", "revoked.fetched"} {
				if err := os.Rename(filepath.Join(other, name), filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			return j
		}, "e0 e1 e2 e3", ""},
		"others can write": {func(_ *backend, dir string, j []byte) []byte {
			if err := os.Chmod(filepath.Join(dir, "revoked.deltas"), 0o622); err != nil {
				t.Fatal(err)
			}
			return j
		}, "e0", "chmod"},
		"link": {func(_ *backend, dir string, j []byte) []byte {
			path := filepath.Join(dir, "revoked.deltas")
			if err := errors.Join(os.Rename(path, path+".real"), os.Symlink("revoked.deltas.real", path)); err != nil {
				t.Fatal(err)
			}
			return j
		}, "e0", "regular"},
	} {
		t.Run(name, func(t *testing.T) {
			now := newClock(epoch)
			b := &backend{identity: base.identity, t: t, life: life, changed: make(chan struct{}), sequence: 1, oldest: 1}
			b.at(now)
			dir := kept(t, b, now)
			path := filepath.Join(dir, "revoked.deltas")
			journal, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := tc.change(b, dir, bytes.Clone(journal))
			if changed == nil {
				err = os.Remove(path)
			} else if !bytes.Equal(changed, journal) {
				err = os.WriteFile(path, changed, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			p := restart(t, b, dir, now)
			s := p.Status()
			if listed(p) != tc.want || (s.DiskError == "") != (tc.problem == "") || !strings.Contains(s.DiskError, tc.problem) {
				t.Errorf("%s, disk error %q", listed(p), s.DiskError)
			}
			if tc.want != "e0 e1 e2 e3" && s.AgeKnown && s.AgeSeconds == 0 {
				t.Error("a list that is not the last one looks new")
			}
			// With the source back all is well.
			p = &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now, Dir: dir}
			b.revoke("e4")
			if err := p.Load(t.Context()); err != nil || listed(p) != "e0 e1 e2 e3 e4" || p.Current().ContainsID("e9") {
				t.Errorf("with the source back: %v, %s", err, listed(p))
			}
		})
	}
}

// TestJournalCompacted wants the whole list again when the journal has outgrown it, so that the disk does not fill.
func TestJournalCompacted(t *testing.T) {
	t.Parallel()
	now := newClock(epoch)
	b := newBackend(t).at(now)
	dir := t.TempDir()
	path := filepath.Join(dir, "revoked.deltas")
	p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now, Dir: dir}
	most, lists := int64(0), uint64(1)
	for i := range 100 {
		now.add(time.Minute)
		many := make([]string, 300)
		for j := range many {
			many[j] = numbered32(300*i + j)
		}
		b.revoke(many...)
		if err := p.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		size := int64(0)
		if info, err := os.Lstat(path); err == nil {
			size = info.Size()
		}
		most = max(most, size)
		if s := p.Status(); s.Lists != lists {
			lists = s.Lists
			if size != 0 {
				t.Errorf("a journal of %d bytes beside a new list", size)
			}
		}
	}
	// 30,000 entries make a list of about 3 MB, so the journal ends at 1 MB and at as much as the list then has.
	if lists < 3 || lists > 4 || most > 3<<20 {
		t.Errorf("%d whole lists, journal of at most %d bytes", lists, most)
	}
	if p := restart(t, b, dir, now); p.Current().Len() != 30_000 {
		t.Errorf("%d entries", p.Current().Len())
	}
}

// TestJournalDiskFull bounds the size of all files that this process writes, so it runs alone.
func TestJournalDiskFull(t *testing.T) {
	now := newClock(epoch)
	b := newBackend(t).at(now)
	b.signer = b.ca.Issue(t, certstest.ECDSAP256)
	dir := kept(t, b, now)
	path := filepath.Join(dir, "revoked.deltas")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var book logBook
	p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now, Dir: dir, Log: book.logger()}
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(len(before) + 100), Max: limit.Max}); err != nil {
		t.Skip(err)
	}
	var errs []error
	for i := range 3 {
		now.add(10 * time.Second)
		b.revoke(fmt.Sprint("e", 4+i))
		errs = append(errs, p.Poll(t.Context()))
	}
	status := p.Status()
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}

	if err := errors.Join(errs...); err != nil || listed(p) != "e0 e1 e2 e3 e4 e5 e6" || !p.Fresh(now.now()) {
		t.Errorf("%v, %s: the list in memory must not suffer", err, listed(p))
	}
	if !strings.Contains(status.DiskError, "writing revoked.deltas") || book.count("level=WARN", "not kept on disk") != 1 {
		t.Errorf("disk error %q, log:\n%s", status.DiskError, book.text.String())
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the journal was damaged: %v", err)
	}
	if p := restart(t, b, dir, now); listed(p) != "e0 e1 e2 e3" {
		t.Errorf("a life in between: %s", listed(p))
	}
	// With room again, all that is missing is written: with the next delta, or when the time is noted.
	now.add(time.Minute)
	if err := p.Poll(t.Context()); err != nil || p.Status().DiskError != "" {
		t.Errorf("%v, status %+v", err, p.Status())
	}
	if p := restart(t, b, dir, now); listed(p) != "e0 e1 e2 e3 e4 e5 e6" || !p.Fresh(now.now()) {
		t.Errorf("%s, status %+v", listed(p), p.Status())
	}
}

// TestJournalLost removes files while the proxy runs: in time it has the whole list again, and does not ask for it all the time.
func TestJournalLost(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"revoked.pem", "revoked.deltas"} {
		now := newClock(epoch)
		b := newBackend(t).at(now)
		dir := filepath.Join(t.TempDir(), "signing")
		p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now, Dir: dir}
		for i := range 3 {
			b.revoke(fmt.Sprint("e", i))
			if err := p.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		b.revoke("e3")
		for range 60 {
			now.add(time.Minute)
			if err := p.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if s := p.Status(); s.Lists < 2 || s.Lists > 7 || s.DiskError != "" {
			t.Errorf("%s removed: status %+v", name, s)
		}
		if p := restart(t, b, dir, now); listed(p) != "e0 e1 e2 e3" {
			t.Errorf("%s removed: %s, status %+v", name, listed(p), p.Status())
		}
	}
}
