package revocation_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"authproxy/revocation"
)

func TestSnapshot(t *testing.T) {
	t.Parallel()
	hash := func(size int) string { return strings.Repeat("5e", size) }
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := revocation.NewSnapshot([]revocation.Entry{
		{ID: hash(16), AuditID: "AUDrevokedrevokedrevog"},
		{ID: hash(16)},
		{ID: hash(20)}, {ID: hash(28)}, {ID: strings.ToUpper(hash(32))}, {ID: hash(48)}, {ID: hash(64)},
		{ID: strings.Repeat("0", 64), AuditID: strings.Repeat("A", 22)},
		{ID: "2f1d0e5c-0000-4000-8000-000000000000"},
		{ID: strings.Repeat("5e", 15) + "5g", AuditID: "short"},
		{AuditID: "AUDrevokedrevokedrevoh"}, // not the one spelling of its bytes
		{AuditID: "AUDrevokedrevokedrevow"},
	}, at)

	if got, want := s.Len(), 11; got != want {
		t.Errorf("Len %d, want %d", got, want)
	}
	if !s.FetchedAt().Equal(at) {
		t.Errorf("FetchedAt %v", s.FetchedAt())
	}
	if !s.HasEntriesWithoutAuditID() {
		t.Error("there are entries without an audit id")
	}
	for id, want := range map[string]bool{
		hash(16): true, hash(20): true, hash(28): true, hash(32): true, hash(48): true, hash(64): true,
		strings.ToUpper(hash(16)): true, strings.ToUpper(hash(32)): true, strings.Repeat("0", 64): true,
		"2f1d0e5c-0000-4000-8000-000000000000": true, strings.Repeat("5e", 15) + "5g": true,

		"": false, hash(16)[1:]: false, hash(16) + "5": false, hash(16) + "5e": false, hash(24): false,
		strings.Repeat("0", 32): false, "2F1D0E5C-0000-4000-8000-000000000000": false, strings.Repeat("5e", 15) + "5G": false,
		strings.Repeat("5e", 15) + "5f": false, "5f" + strings.Repeat("5e", 15): false,
		"AUDrevokedrevokedrevog": false, "short": false, strings.Repeat("5e", 1<<20): false,
	} {
		if got := s.ContainsID(id); got != want {
			t.Errorf("ContainsID(%.70q) = %v", id, got)
		}
	}
	for id, want := range map[string]bool{
		"AUDrevokedrevokedrevog": true, "AUDrevokedrevokedrevow": true, "AUDrevokedrevokedrevoh": true, "short": true,
		strings.Repeat("A", 22): true,

		"": false, "AUDrevokedrevokedrevoi": false, "AUDREVOKEDREVOKEDREVOG": false, "AUDrevokedrevokedrevo": false,
		"AUDrevokedrevokedrevog=": false, "AUDrevokedrevokedrevog==": false, strings.Repeat("A", 21) + "B": false,
		"\nUDrevokedrevokedrevog": false, strings.Repeat("A", 20) + "\r\n": false, hash(16): false, "SHORT": false,
	} {
		if got := s.ContainsAuditID(id); got != want {
			t.Errorf("ContainsAuditID(%q) = %v", id, got)
		}
	}
}

func TestSnapshotOfNothing(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*revocation.Snapshot{"nil": nil, "empty": revocation.NewSnapshot(nil, time.Time{})} {
		if s.ContainsID(strings.Repeat("0", 32)) || s.ContainsID("x") || s.ContainsID("") ||
			s.ContainsAuditID(strings.Repeat("A", 22)) || s.ContainsAuditID("x") || s.ContainsAuditID("") {
			t.Errorf("%s: contains something", name)
		}
		if s.Len() != 0 || s.HasEntriesWithoutAuditID() || !s.FetchedAt().IsZero() {
			t.Errorf("%s: not empty", name)
		}
	}
	full := revocation.NewSnapshot([]revocation.Entry{{ID: "x", AuditID: "y"}, {AuditID: "z"}}, time.Time{})
	if full.HasEntriesWithoutAuditID() {
		t.Error("each entry has an audit id")
	}
}

// TestSnapshotLarge fills tables far enough for probes to run into each other and over the end.
// TestSnapshotEmpty: one entry of any kind is something to look for.
func TestSnapshotEmpty(t *testing.T) {
	t.Parallel()
	var none *revocation.Snapshot
	if !none.Empty() || !revocation.NewSnapshot(nil, time.Time{}).Empty() {
		t.Error("a list of nothing is not empty")
	}
	for _, e := range []revocation.Entry{
		{ID: strings.Repeat("5e", 16)}, {ID: strings.Repeat("5e", 64)}, {ID: "other"}, {AuditID: "AUDrevokedrevokedrevog"}, {AuditID: "other"},
	} {
		if revocation.NewSnapshot([]revocation.Entry{e}, time.Time{}).Empty() {
			t.Errorf("a list of %+v is empty", e)
		}
	}
}

func TestSnapshotLarge(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 4, 5, 100, 20_000} {
		entries := someEntries(n, 0)
		s := revocation.NewSnapshot(append(entries, entries[:n/2]...), time.Time{})
		if s.Len() != n {
			t.Errorf("%d entries, half of them twice: Len %d", n, s.Len())
		}
		for i, e := range entries {
			if !s.ContainsID(e.ID) || !s.ContainsAuditID(e.AuditID) {
				t.Fatalf("entry %d of %d is not found", i, n)
			}
		}
		for i, e := range someEntries(n, n) {
			if s.ContainsID(e.ID) || s.ContainsAuditID(e.AuditID) {
				t.Fatalf("%d entries: %d, which is not listed, is found", n, i)
			}
		}
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	entries := append(someEntries(1000, 0), revocation.Entry{ID: "text", AuditID: "text"})
	s := revocation.NewSnapshot(entries, time.Time{})
	other := someEntries(1, 5000)[0]
	n := testing.AllocsPerRun(100, func() {
		if !s.ContainsID(entries[7].ID) || s.ContainsID(other.ID) || !s.ContainsID("text") || s.ContainsID("other") ||
			!s.ContainsAuditID(entries[7].AuditID) || s.ContainsAuditID(other.AuditID) || s.ContainsAuditID("other") {
			t.Fatal("wrong answer")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// someEntries makes n entries as Keystone has them, with SHA-256 ids, numbered from first.
func someEntries(n, first int) []revocation.Entry {
	entries := make([]revocation.Entry, n)
	for i := range entries {
		sum := sha256.Sum256(fmt.Append(nil, "token ", first+i))
		entries[i] = revocation.Entry{
			ID:      hex.EncodeToString(sum[:]),
			AuditID: base64.RawURLEncoding.EncodeToString(sum[16:]),
			Expires: time.Date(2037, 1, 1, 0, 0, i, 0, time.UTC),
		}
	}
	return entries
}

func someContent(entries []revocation.Entry) []byte {
	var b strings.Builder
	b.WriteString(`{"revoked": [`)
	for i, e := range entries {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, `{"id": %q, "audit_id": %q, "expires": %q}`, e.ID, e.AuditID, e.Expires.Format(time.RFC3339))
	}
	b.WriteString("]}")
	return []byte(b.String())
}

// BenchmarkLookup times one lookup, by the SHA-256 id or by the audit id, of tokens all over the list or not on it. Ids lie
// side by side in memory, as the one of a request at hand does.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000} {
		if n > 100_000 && testing.Short() {
			continue
		}
		var s *revocation.Snapshot
		var probes [2][]revocation.Entry
		var size float64
		func() {
			entries := someEntries(n, 0)
			before := heapInUse()
			s = revocation.NewSnapshot(entries, time.Time{})
			size = float64(heapInUse()-before) / float64(n)
			for i := 0; i < n; i += max(1, n/4096) {
				probes[1] = append(probes[1], revocation.Entry{ID: strings.Clone(entries[i].ID), AuditID: strings.Clone(entries[i].AuditID)})
			}
			probes[0] = someEntries(len(probes[1]), n)
		}()
		for i, name := range []string{"other", "listed"} {
			for _, by := range []struct {
				name   string
				lookup func(*revocation.Entry) bool
			}{
				{"id", func(e *revocation.Entry) bool { return s.ContainsID(e.ID) }},
				{"audit", func(e *revocation.Entry) bool { return s.ContainsAuditID(e.AuditID) }},
			} {
				b.Run(fmt.Sprintf("%s/%s/%d", by.name, name, n), func(b *testing.B) {
					b.ReportAllocs()
					at := 0
					for b.Loop() {
						if by.lookup(&probes[i][at]) != (i == 1) {
							b.Fatal("wrong answer")
						}
						if at++; at == len(probes[i]) {
							at = 0
						}
					}
					b.ReportMetric(size, "B/entry")
				})
			}
		}
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkParseList(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		content := someContent(someEntries(n, 0))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				list, err := revocation.ParseList(content)
				if err != nil || len(list.Entries) != n {
					b.Fatal(err)
				}
				revocation.NewSnapshot(list.Entries, time.Time{})
			}
		})
	}
}
