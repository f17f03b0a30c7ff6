package server_test

import (
	"testing"
	"time"

	"authproxy/keystone/server/app"
	"authproxy/keystone/server/identity"
)

// TestFlush removes what has ended, and nothing else.
func TestFlush(t *testing.T) {
	t.Parallel()
	c := newTrusting(t, "uuid")
	lasting := c.trust(nil)
	ending := c.trust(obj{"expires_at": c.clock.Now().Add(time.Minute).UTC().Format("2006-01-02T15:04:05.000000Z")})
	c.do("POST", "/v3/auth/tokens", "", obj{"auth": obj{"identity": obj{"methods": []string{"password"},
		"password": obj{"user": obj{"id": c.alice, "password": "wrong"}}}}}).want(401)
	stored := func() (trusts int, failed bool) {
		list, err := c.db.Trusts(t.Context(), c.alice, "")
		if err != nil {
			t.Fatal(err)
		}
		f, err := c.db.Failures(t.Context(), identity.Attempt{Who: c.alice, Address: "127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		return len(list), f.Count > 0
	}
	flush := func() int {
		n, err := app.Flush(t.Context(), c.parts.Server)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := flush(); n != 0 {
		t.Errorf("%d tokens removed at once", n)
	}
	if n, failed := stored(); n != 2 || !failed {
		t.Errorf("%d trusts, failures %v after a flush at once", n, failed)
	}
	c.clock.advance(time.Hour)
	flush()
	if n, failed := stored(); n != 1 || failed {
		t.Errorf("%d trusts, failures %v after an hour; want the one that lasts", n, failed)
	}
	if _, err := c.db.Trust(t.Context(), lasting); err != nil {
		t.Errorf("lasting: %v; ending was %s", err, ending)
	}
	c.clock.advance(100 * time.Hour)
	if n := flush(); n == 0 {
		t.Error("no tokens removed after 100 hours")
	}
}
