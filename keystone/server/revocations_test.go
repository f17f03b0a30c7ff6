package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authproxy/certs/certstest"
	"authproxy/keystone"
	"authproxy/keystone/server"
	"authproxy/keystone/server/app"
	"authproxy/keystone/server/tokens"
)

const listPath = "/v3/auth/tokens/OS-PKI/revoked"

// document is the signed content of a list or a delta.
type document struct {
	Revoked    []entry
	Delta      *struct{ From, To int64 }
	Added      []entry
	Issued     time.Time
	Sequence   int64
	NextUpdate time.Time `json:"next_update"`
}

// document reads an answer of the list's URL and checks what holds for each.
func (c *cloud) document(a *answer) document {
	c.t.Helper()
	content := c.signed(a.want(200))
	var d document
	if err := json.Unmarshal(content, &d); err != nil {
		c.t.Fatalf("%s: %v", content, err)
	}
	if (d.Revoked == nil) == (d.Added == nil) || (d.Added == nil) != (d.Delta == nil) {
		c.t.Errorf("neither a list nor a delta: %s", content)
	}
	if want := fmt.Sprintf(`"%d-%d"`, d.Sequence, d.Issued.Unix()); a.header.Get("ETag") != want {
		c.t.Errorf("ETag %s, want %s", a.header.Get("ETag"), want)
	}
	if d.NextUpdate.Sub(d.Issued) != 10*time.Minute || d.Issued.Nanosecond() != 0 {
		c.t.Errorf("issued %s, next update %s, want ten minutes in between", d.Issued, d.NextUpdate)
	}
	if d.Delta != nil && d.Delta.To != d.Sequence {
		c.t.Errorf("delta %+v with sequence %d", d.Delta, d.Sequence)
	}
	return d
}

// revokeOne gets a token and revokes it.
func (c *cloud) revokeOne() (auditid string) {
	c.t.Helper()
	a := c.login("admin", adminPassword, nil)
	c.do("DELETE", "/v3/auth/tokens", a.token(), nil, "X-Subject-Token", a.token()).want(204)
	return auditID(a)
}

func TestRevocationListUnchanged(t *testing.T) {
	c := newCloud(t, "pki")
	admin := c.adminToken()
	first := c.do("GET", listPath, admin, nil)
	before := c.document(first)
	if before.Sequence != 1 || len(before.Revoked) != 0 {
		t.Fatalf("list of a new cloud: %+v", before)
	}
	etag := first.header.Get("ETag")
	same := func(ifNoneMatch string) {
		t.Helper()
		a := c.do("GET", listPath, admin, nil, "If-None-Match", ifNoneMatch).want(304)
		if a.text != "" || a.header.Get("ETag") != etag || a.header.Get("Preference-Applied") != "" {
			t.Errorf("304 with %v %q", a.header, a.text)
		}
	}
	same(etag)
	same("W/" + etag)
	same(`"other", ` + etag)
	same("*")
	c.do("GET", listPath, admin, nil, "If-None-Match", `"other"`).want(200)
	c.do("HEAD", listPath, admin, nil, "If-None-Match", etag).want(304)
	if a := c.do("HEAD", listPath, admin, nil).want(200); a.text != "" || a.header.Get("ETag") != etag {
		t.Errorf("HEAD: %v %q", a.header, a.text)
	}
	c.do("GET", listPath, "", nil, "If-None-Match", etag).want(401)

	auditid := c.revokeOne()
	changed := c.do("GET", listPath, admin, nil, "If-None-Match", etag)
	after := c.document(changed)
	if after.Sequence != 2 || len(after.Revoked) != 1 || after.Revoked[0].AuditID != auditid {
		t.Errorf("after a revocation: %+v", after)
	}
	etag = changed.header.Get("ETag")
	same(etag)

	// Nothing changes: the same bytes, until half of the list's life is over.
	c.clock.advance(4 * time.Minute)
	if a := c.do("GET", listPath, admin, nil).want(200); a.text != changed.text {
		t.Error("the list was made anew though nothing changed")
	}
	same(etag)
	c.clock.advance(time.Minute + time.Second)
	renewed := c.document(c.do("GET", listPath, admin, nil, "If-None-Match", etag))
	if renewed.Sequence != 2 || len(renewed.Revoked) != 1 || renewed.Issued.Sub(after.Issued) < 5*time.Minute {
		t.Errorf("after five minutes: %+v", renewed)
	}
}

// TestSameListFromEachNode has two servers on one database.
func TestSameListFromEachNode(t *testing.T) {
	c := newCloud(t, "pki")
	c.revokeOne()
	admin := c.adminToken()
	here := c.do("GET", listPath, admin, nil).want(200)
	db, err := c.settings.OpenStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	other := httptest.NewServer(c.settings.Build(db, app.Options{Now: func() time.Time { return c.clock.Now().Add(-time.Minute) }}).Server.Handler(server.Listener{}))
	defer other.Close()
	there := send(t, other.URL, "GET", listPath, admin, nil).want(200)
	if there.text != here.text || there.header.Get("ETag") != here.header.Get("ETag") {
		t.Errorf("another node answers %s, this one %s", there.header.Get("ETag"), here.header.Get("ETag"))
	}
	// A clock that is behind does not make the next list older.
	before := c.document(here)
	a := c.login("admin", adminPassword, nil)
	send(t, other.URL, "DELETE", "/v3/auth/tokens", a.token(), nil, "X-Subject-Token", a.token()).want(204)
	after := c.document(c.do("GET", listPath, admin, nil))
	if after.Sequence != before.Sequence+1 || after.Issued.Before(before.Issued) {
		t.Errorf("after a revocation by the other: %+v, before %+v", after, before)
	}
}

func TestRevocationListNewKey(t *testing.T) {
	c := newCloud(t, "pki")
	admin := c.adminToken()
	first := c.do("GET", listPath, admin, nil)
	before := c.document(first)
	signer := c.ca.Issue(t, certstest.ECDSAP256)
	c.write("signing_cert.pem", string(signer.CertPEM))
	c.write("signing_key.pem", string(signer.KeyPEM))
	a := c.do("GET", listPath, admin, nil, "If-None-Match", first.header.Get("ETag"))
	if after := c.document(a); after.Sequence != before.Sequence || !after.Issued.After(before.Issued) { // by the new key: document checks
		t.Errorf("with a new key: %+v, before %+v", after, before)
	}
	c.do("GET", listPath, admin, nil, "If-None-Match", a.header.Get("ETag")).want(304)
}

func TestRevocationDelta(t *testing.T) {
	c := newCloud(t, "pki")
	admin := c.adminToken()
	var audit [5]string // by the step that it was revoked in
	for step := 2; step < len(audit); step++ {
		audit[step] = c.revokeOne()
	}
	last := int64(len(audit) - 1)
	for _, test := range []struct {
		since string
		from  int64 // 0 for the whole list
	}{
		{"1", 1}, {"2", 2}, {"3", 3}, {"4", 4},
		{"5", 0}, {"0", 0}, {"-1", 0}, {"", 0}, {"x", 0}, {"1e0", 0}, {"99999999999999999999", 0},
	} {
		a := c.do("GET", listPath+"?since="+test.since, admin, nil)
		d := c.document(a)
		if d.Sequence != last || (d.Delta == nil) != (test.from == 0) {
			t.Errorf("since=%s: %+v", test.since, d)
			continue
		}
		entries, first := d.Revoked, 2
		if d.Delta != nil {
			if d.Delta.From != test.from {
				t.Errorf("since=%s: delta from %d", test.since, d.Delta.From)
			}
			entries, first = d.Added, int(test.from)+1
		}
		if len(entries) != len(audit)-first {
			t.Errorf("since=%s: %d entries, want %d", test.since, len(entries), len(audit)-first)
			continue
		}
		for i, e := range entries {
			if e.AuditID != audit[first+i] || e.ID == "" || e.Expires == "" {
				t.Errorf("since=%s: entry %d is %+v, want %s", test.since, i, e, audit[first+i])
			}
		}
		// Who is at the end and knows it is told so; who only says so gets what was asked for.
		want := 200
		if test.from == last {
			want = 304
		}
		c.do("GET", listPath+"?since="+test.since, admin, nil, "If-None-Match", a.header.Get("ETag")).want(want)
	}
	c.do("GET", listPath+"?since=2", "", nil).want(401)

	// The entry of a token that is long over is in no delta.
	c.clock.advance(tokens.DefaultWindow + 2*time.Hour)
	if d := c.document(c.do("GET", listPath+"?since=2", c.adminToken(), nil)); len(d.Added) != 0 || d.Delta.From != 2 {
		t.Errorf("long after: %+v", d)
	}
}

// countingStore counts how often the revoked tokens are read.
type countingStore struct {
	tokens.Store
	reads atomic.Int32
}

func (s *countingStore) RevokedTokens(ctx context.Context, steps tokens.Steps, alive time.Time) ([]keystone.RevokedToken, error) {
	s.reads.Add(1)
	return s.Store.RevokedTokens(ctx, steps, alive)
}

// TestListIsMadeOnce: many clients at once cost one query and one signature.
func TestListIsMadeOnce(t *testing.T) {
	c := newCloud(t, "pki")
	c.revokeOne()
	counting := &countingStore{Store: c.db}
	c.parts.Server.Tokens.Store = counting
	admin := c.adminToken()
	for _, path := range []string{listPath, listPath + "?since=1", listPath + "?since=2"} {
		counting.reads.Store(0)
		var all sync.WaitGroup
		answers := make([]string, 16)
		for i := range answers {
			all.Go(func() { answers[i] = c.do("GET", path, admin, nil).want(200).text })
		}
		all.Wait()
		for _, text := range answers {
			if text != answers[0] || !strings.Contains(text, "BEGIN CMS") {
				t.Errorf("%s: answers differ", path)
			}
		}
		if n := counting.reads.Load(); n != 1 {
			t.Errorf("%s: read %d times", path, n)
		}
	}
}
