package revocation

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func goOn() bool { return true }

// numbered is an entry as Keystone has them, with a SHA-256 id.
func numbered(n int, expires time.Time) Entry {
	sum := sha256.Sum256(fmt.Append(nil, "token ", n))
	return Entry{ID: hex.EncodeToString(sum[:]), AuditID: base64.RawURLEncoding.EncodeToString(sum[16:]), Expires: expires}
}

// model is what a Snapshot should say: expiry by id and by audit id.
type model struct{ ids, audits map[string]time.Time }

func (m model) add(e Entry) {
	later := func(m map[string]time.Time, key string) {
		if key != "" && !m[key].After(e.Expires) {
			m[key] = e.Expires
		}
	}
	later(m.ids, e.ID)
	later(m.audits, e.AuditID)
}

// check compares s with the model. What expired before keepFrom may be there or not.
func (m model) check(t *testing.T, s *Snapshot, keepFrom time.Time) {
	t.Helper()
	for id, expires := range m.ids {
		if !s.ContainsID(id) && !expires.Before(keepFrom) {
			t.Fatalf("id %s, which expires at %v, is not found", id, expires)
		}
	}
	for id, expires := range m.audits {
		if !s.ContainsAuditID(id) && !expires.Before(keepFrom) {
			t.Fatalf("audit id %s, which expires at %v, is not found", id, expires)
		}
	}
}

// TestLayers puts deltas on a list in random sizes, with entries that are there already and entries of all forms, folds now and
// then while more deltas come, and compares with a map.
func TestLayers(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 0))
		want := model{map[string]time.Time{}, map[string]time.Time{}}
		entry := func() Entry {
			e := numbered(random.IntN(3000), noon.Add(time.Duration(random.IntN(100))*time.Minute))
			switch random.IntN(20) {
			case 0:
				e.AuditID = ""
			case 1:
				e.ID = ""
			case 2:
				e.ID = "text " + e.ID[:5]
			case 3:
				e.AuditID = "text " + e.AuditID[:3]
			case 4:
				e.ID = strings.ToUpper(e.ID)
			}
			key := e // as the model has it
			key.ID = strings.ToLower(e.ID)
			if strings.HasPrefix(e.ID, "text") {
				key.ID = e.ID
			}
			want.add(key)
			return e
		}
		var list []Entry
		for range random.IntN(1500) {
			list = append(list, entry())
		}
		keepFrom := noon
		s := newSnapshot(list, keepFrom)
		fixed, folding := 0, []*index(nil)
		for range 60 {
			var delta []Entry
			for range random.IntN(1 << random.IntN(7)) {
				delta = append(delta, entry())
			}
			before := s
			s = s.with(delta, keepFrom, fixed)
			if !slices.Equal(s.layers[:fixed], folding) {
				t.Fatal("layers that are being folded have changed")
			}
			if before == s || len(s.layers) > len(before.layers)+1 {
				t.Fatalf("%d layers, then %d", len(before.layers), len(s.layers))
			}
			for i := max(fixed, 1); i+1 < len(s.layers); i++ {
				if s.layers[i].size() < layerGrowth*s.layers[i+1].size() {
					t.Fatalf("layer %d has %d keys, the one above it %d", i, s.layers[i].size(), s.layers[i+1].size())
				}
			}
			switch random.IntN(10) {
			case 0:
				if folding == nil {
					fixed, folding = len(s.layers), slices.Clone(s.layers)
				}
			case 1:
				if folding != nil {
					keepFrom = keepFrom.Add(5 * time.Minute)
					base := s.fold(fixed, keepFrom, goOn)
					s = s.of(append([]*index{base}, s.layers[fixed:]...)...)
					fixed, folding = 0, nil
				}
			}
			want.check(t, s, keepFrom)
			if got, found := s.HasEntriesWithoutAuditID(), slices.ContainsFunc(s.layers, func(x *index) bool { return x.withoutAuditID > 0 }); got != found {
				t.Fatalf("HasEntriesWithoutAuditID %v", got)
			}
		}
		// All of it in one layer says the same, and nothing that expired is left.
		one := s.of(s.fold(len(s.layers), keepFrom, goOn))
		want.check(t, one, keepFrom)
		alive := 0
		for id, expires := range want.ids {
			if expires.Before(keepFrom.Add(-time.Second)) && one.ContainsID(id) {
				t.Errorf("%s expired at %v and is found at %v", id, expires, keepFrom)
			}
			if one.ContainsID(id) {
				alive++
			}
		}
		for id := range maps.Keys(want.audits) {
			var key [auditIDSize]byte
			m := one.layers[0].otherAuds[id]
			if auditKey(id, &key) {
				m = one.layers[0].audits.get(maphash.Bytes(one.seed, key[:]), key[:])
			}
			alive += lone(m)
		}
		if one.Len() != alive {
			t.Errorf("Len %d, %d are there", one.Len(), alive)
		}
		if n := s.missing(one, keepFrom.Add(time.Minute)); n != 0 {
			t.Errorf("%d are missing in the same list", n)
		}
		if n := one.missing(s, keepFrom.Add(time.Minute)); n != 0 {
			t.Errorf("%d are missing in the same list", n)
		}
	}
}

// TestLenOverLayers wants an entry that comes twice to count once.
func TestLenOverLayers(t *testing.T) {
	t.Parallel()
	late := noon.Add(time.Hour)
	a, b := numbered(1, noon), numbered(2, noon)
	onlyAudit := Entry{AuditID: b.AuditID, Expires: noon}
	onlyID := Entry{ID: a.ID, Expires: late}
	for name, tc := range map[string]struct {
		list, delta []Entry
		len, layers int
		nameless    bool
	}{
		"new":                             {[]Entry{a}, []Entry{b}, 2, 2, false},
		"the same":                        {[]Entry{a}, []Entry{a, a}, 1, 1, false},
		"the same, later":                 {[]Entry{a}, []Entry{{ID: a.ID, AuditID: a.AuditID, Expires: late}}, 1, 2, false},
		"twice in the delta":              {nil, []Entry{a, a}, 1, 2, false},
		"without its audit id":            {[]Entry{a}, []Entry{onlyID}, 1, 2, true},
		"audit id, then all":              {[]Entry{onlyAudit}, []Entry{b}, 1, 2, false},
		"all, then the audit id":          {[]Entry{b}, []Entry{onlyAudit}, 1, 1, false},
		"audit id and then all, at once":  {nil, []Entry{onlyAudit, b}, 1, 2, false},
		"nothing":                         {[]Entry{a}, nil, 1, 1, false},
		"text":                            {[]Entry{{ID: "x"}}, []Entry{{ID: "x"}, {ID: "y"}, {AuditID: "z"}}, 3, 2, true},
		"what ended in the delta":         {nil, []Entry{numbered(3, noon.Add(-time.Hour))}, 0, 1, false},
		"the same without end, then with": {[]Entry{{ID: "x", AuditID: "y"}}, []Entry{{ID: "x", AuditID: "y", Expires: noon}}, 1, 1, false},
	} {
		s := newSnapshot(tc.list, noon).with(tc.delta, noon, 0)
		one := s.of(s.fold(len(s.layers), noon, goOn))
		if s.Len() != tc.len || one.Len() != tc.len || len(s.layers) != tc.layers || s.HasEntriesWithoutAuditID() != tc.nameless || one.HasEntriesWithoutAuditID() != tc.nameless {
			t.Errorf("%s: %d entries in %d layers, %d in one; without audit id %v, %v", name, s.Len(), len(s.layers), one.Len(),
				s.HasEntriesWithoutAuditID(), one.HasEntriesWithoutAuditID())
		}
	}
}

// TestNamelessOutlivesFold has the base forget an id that a delta has prolonged: it must not look as if all had audit ids.
func TestNamelessOutlivesFold(t *testing.T) {
	t.Parallel()
	s := newSnapshot([]Entry{{ID: "x", Expires: noon}}, time.Time{}).with([]Entry{{ID: "x", Expires: noon.Add(time.Hour)}}, time.Time{}, 0)
	s = s.of(s.fold(1, noon.Add(time.Minute), goOn), s.layers[1])
	if !s.ContainsID("x") || !s.HasEntriesWithoutAuditID() {
		t.Errorf("listed %v, without audit id %v", s.ContainsID("x"), s.HasEntriesWithoutAuditID())
	}
}

// TestUnhex tries every byte in every place.
func TestUnhex(t *testing.T) {
	t.Parallel()
	for at := range 8 {
		for c := range 256 {
			digits := []byte("89abCDEF")
			digits[at] = byte(c)
			var got [maxHash]byte
			want, err := hex.DecodeString(string(digits))
			if ok := unhex(&got, string(digits)); ok != (err == nil) || ok && !bytes.Equal(got[:4], want) {
				t.Fatalf("%q: %x, %v; want %x, %v", digits, got[:4], ok, want, err)
			}
		}
	}
	for kind, size := range hashSizes {
		var got [maxHash]byte
		want := bytes.Repeat([]byte("\x01\xab"), size/2)
		if k := hashKey(hex.EncodeToString(want), &got); k != kind || !bytes.Equal(got[:size], want) {
			t.Errorf("%d bytes: kind %d, %x", size, k, got[:size])
		}
	}
}

func TestFoldGivesUp(t *testing.T) {
	t.Parallel()
	var list []Entry
	for n := range 3 * mergeStep {
		list = append(list, numbered(n, noon))
	}
	s := newSnapshot(list, time.Time{})
	asked := 0
	if s.fold(1, time.Time{}, func() bool { asked++; return asked < 2 }) != nil || asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

// TestDeltaCost puts a thousand deltas of 100 changes on a list: what each costs must not follow from the size of the list.
func TestDeltaCost(t *testing.T) {
	var cost []uint64
	for _, n := range []int{10_000, 100_000} {
		list := make([]Entry, n)
		for i := range list {
			list[i] = numbered(i, noon)
		}
		s := newSnapshot(list, time.Time{})
		delta := make([]Entry, 100)
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for d := range 100 {
			for i := range delta {
				delta[i] = numbered(n+100*d+i, noon)
			}
			s = s.with(delta, time.Time{}, 0)
		}
		runtime.ReadMemStats(&after)
		cost = append(cost, (after.TotalAlloc-before.TotalAlloc)/100)
		if s.Len() != n+10_000 || len(s.layers) > 5 {
			t.Errorf("%d entries in %d layers", s.Len(), len(s.layers))
		}
	}
	if cost[1] > 2*cost[0] {
		t.Errorf("a delta allocates %d bytes over 10,000 entries and %d over 100,000", cost[0], cost[1])
	}
}

func TestLookupsInLayersDoNotAllocate(t *testing.T) {
	s := newSnapshot([]Entry{numbered(0, noon)}, time.Time{})
	for _, n := range []int{640, 80, 10, 1} {
		var delta []Entry
		for i := range n {
			delta = append(delta, numbered(1000*n+i, noon))
		}
		s = s.with(delta, time.Time{}, 0)
	}
	if len(s.layers) < 4 {
		t.Fatalf("%d layers", len(s.layers))
	}
	base, top, other := numbered(0, noon), numbered(1000, noon), numbered(-1, noon)
	if n := testing.AllocsPerRun(100, func() {
		if !s.ContainsID(base.ID) || !s.ContainsAuditID(top.AuditID) || s.ContainsID(other.ID) || s.ContainsAuditID(other.AuditID) {
			t.Fatal("wrong answer")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// layered is a list of n entries with some layers on top, as after many deltas.
func layered(n int) *Snapshot {
	list := make([]Entry, n)
	for i := range list {
		list[i] = numbered(i, noon)
	}
	s := newSnapshot(list[:n-n/10], time.Time{})
	for rest := list[n-n/10:]; len(rest) > 0; {
		size := min(len(rest), max(1, len(rest)/2))
		s, rest = s.with(rest[:size], time.Time{}, 0), rest[size:]
	}
	return s
}

// BenchmarkDelta puts a delta of 100 changes on a list. ns/change and B/change are about the same for any list.
func BenchmarkDelta(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000} {
		if n > 100_000 && testing.Short() {
			continue
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			list := make([]Entry, n)
			for i := range list {
				list[i] = numbered(i, noon)
			}
			base := newSnapshot(list, time.Time{})
			deltas := make([][]Entry, 80)
			for d := range deltas {
				for i := range 100 {
					deltas[d] = append(deltas[d], numbered(n+100*d+i, noon))
				}
			}
			s, changes := base, 0
			b.ReportAllocs()
			for b.Loop() {
				if changes++; changes%len(deltas) == 0 {
					s = base
				}
				s = s.with(deltas[changes%len(deltas)], time.Time{}, 0)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(100*b.N), "ns/change")
		})
	}
}

// BenchmarkFold folds layers into the base, while a goroutine goes on looking up: ns/lookup is what it saw meanwhile, max-µs the
// longest that it waited for one answer. alone-ns/lookup is the same without the fold.
func BenchmarkFold(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		if n > 100_000 && testing.Short() {
			continue
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := layered(n)
			probes := make([]string, 4096)
			for i := range probes {
				probes[i] = numbered(i*(n/len(probes)+1)*2, noon).ID // half of them listed
			}
			alone := lookUp(s, probes, func(rounds int) bool { return rounds < 20 })
			var stop atomic.Bool
			seen := make(chan timing)
			go func() { seen <- lookUp(s, probes, func(int) bool { return !stop.Load() }) }()
			for b.Loop() {
				if s.fold(len(s.layers), noon.Add(-time.Hour), func() bool { runtime.Gosched(); return true }) == nil {
					b.Fatal("gave up")
				}
			}
			stop.Store(true)
			during := <-seen
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*b.N), "ns/entry")
			b.ReportMetric(during.mean, "ns/lookup")
			b.ReportMetric(alone.mean, "alone-ns/lookup")
			b.ReportMetric(during.p999, "p99.9-ns")
			b.ReportMetric(alone.p999, "alone-p99.9-ns")
			b.ReportMetric(during.max/1000, "max-µs")
			b.ReportMetric(alone.max/1000, "alone-max-µs")
		})
	}
}

type timing struct{ mean, p999, max float64 } // ns

// lookUp looks all probes up again and again, in groups of 8 so that the clock costs little, and tells how long one took.
func lookUp(s *Snapshot, probes []string, more func(rounds int) bool) timing {
	const group = 8
	var all []time.Duration
	found, groups, sum := 0, 0, time.Duration(0)
	for round := 0; more(round); round++ {
		for i := 0; i+group <= len(probes); i += group {
			began := time.Now()
			for _, id := range probes[i : i+group] {
				if s.ContainsID(id) {
					found++
				}
			}
			took := time.Since(began)
			sum += took
			groups++
			if len(all) < 1<<20 {
				all = append(all, took)
			} else {
				all[rand.IntN(len(all))] = took
			}
		}
	}
	if found == 0 {
		panic("nothing was found")
	}
	slices.Sort(all)
	return timing{
		mean: float64(sum) / float64(groups*group),
		p999: float64(all[len(all)*999/1000]) / group,
		max:  float64(all[len(all)-1]),
	}
}

// FuzzJournal wants whatever is read of a journal to be whole records, from its beginning.
func FuzzJournal(f *testing.F) {
	record := append(note{at: noon, sequence: 7}.text(), "-----BEGIN CMS-----\nMII=\n"+cmsEnd...)
	f.Add(record)
	f.Add(append(record, record[:len(record)-1]...))
	f.Add([]byte("x\n" + cmsEnd))
	f.Fuzz(func(t *testing.T, text []byte) {
		r := &recordReader{r: bufio.NewReaderSize(bytes.NewReader(text), 256)}
		for before := int64(0); ; before = r.read {
			noted, signed, err := r.next()
			if err != nil {
				if r.read != before {
					t.Fatal("counted what is no record")
				}
				return
			}
			whole := text[before:r.read]
			head, rest, _ := bytes.Cut(whole, []byte("\n"))
			again, err := parseNote(append(head, '\n'))
			if !bytes.Equal(rest, signed) || !bytes.HasSuffix(signed, []byte(cmsEnd)) || err != nil || again != noted {
				t.Fatalf("%q is no record", whole)
			}
		}
	})
}
