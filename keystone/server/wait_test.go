package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"authproxy/keystone/server"
	"authproxy/keystone/server/app"
)

// waitFor sends a request that waits, and returns when it does so. The answer comes over the channel.
func (c *cloud) waitFor(n int, base, path, token string, headers ...string) <-chan *answer {
	c.t.Helper()
	answers := make(chan *answer, 1)
	go func() { answers <- send(c.t, base, "GET", path, token, nil, headers...) }()
	c.awaitWaiting(n)
	return answers
}

func (c *cloud) awaitWaiting(n int) {
	for c.parts.Server.Tokens.Watch.Waiting() != n {
		runtime.Gosched()
	}
}

func TestWaitForRevocation(t *testing.T) {
	c := newCloud(t, "pki")
	watch := c.parts.Server.Tokens.Watch
	watch.Interval = time.Hour // so that only what this process knows of wakes anybody
	admin := c.adminToken()
	etag := c.do("GET", listPath, admin, nil).want(200).header.Get("ETag")

	list := c.waitFor(1, c.public.URL, listPath, admin, "If-None-Match", etag, "Prefer", "wait=60")
	delta := c.waitFor(2, c.admin.URL, listPath+"?since=1", admin, "If-None-Match", etag, "Prefer", "respond-async, wait=30; x")
	auditid := c.revokeOne()
	a := <-list
	if d := c.document(a); d.Sequence != 2 || len(d.Revoked) != 1 || a.header.Get("Preference-Applied") != "wait=60" {
		t.Errorf("list: %+v %v", d, a.header)
	}
	a = <-delta
	if d := c.document(a); d.Sequence != 2 || len(d.Added) != 1 || d.Added[0].AuditID != auditid || a.header.Get("Preference-Applied") != "wait=30" {
		t.Errorf("delta: %+v %v", d, a.header)
	}
	old, etag := etag, a.header.Get("ETag")

	for name, test := range map[string]struct {
		path    string
		headers []string
		status  int
		applied string
	}{
		"changed already":     {listPath, []string{"If-None-Match", old, "Prefer", "wait=60"}, 200, "wait=60"},
		"behind":              {listPath + "?since=1", []string{"If-None-Match", old, "Prefer", "wait=60"}, 200, "wait=60"},
		"time passes":         {listPath, []string{"If-None-Match", etag, "Prefer", "wait=1"}, 304, "wait=1"},
		"quoted":              {listPath, []string{"If-None-Match", old, "Prefer", `Wait = "5"`}, 200, "wait=5"},
		"nothing known":       {listPath, []string{"Prefer", "wait=60"}, 200, ""},
		"zero":                {listPath, []string{"If-None-Match", etag, "Prefer", "wait=0"}, 304, ""},
		"too long":            {listPath, []string{"If-None-Match", etag, "Prefer", "wait=61"}, 304, ""},
		"no number":           {listPath, []string{"If-None-Match", etag, "Prefer", "wait"}, 304, ""},
		"negative":            {listPath, []string{"If-None-Match", etag, "Prefer", "wait=-1"}, 304, ""},
		"another preference":  {listPath, []string{"If-None-Match", etag, "Prefer", "waiting=5"}, 304, ""},
		"who may not see it":  {listPath, []string{"If-None-Match", etag, "Prefer", "wait=60", "X-Auth-Token", "x"}, 401, ""},
		"the list without id": {listPath + "?audit_id_only", []string{"If-None-Match", etag, "Prefer", "wait=60"}, 200, ""},
	} {
		if a := c.do("GET", test.path, admin, nil, test.headers...); a.status != test.status || a.header.Get("Preference-Applied") != test.applied {
			t.Errorf("%s: %d, applied %q, want %d, %q", name, a.status, a.header.Get("Preference-Applied"), test.status, test.applied)
		}
	}

	// A client that goes away waits no longer.
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		r, err := http.NewRequestWithContext(ctx, "GET", c.public.URL+listPath, nil)
		if err == nil {
			r.Header = http.Header{"X-Auth-Token": {admin}, "If-None-Match": {etag}, "Prefer": {"wait=60"}}
			_, err = http.DefaultTransport.RoundTrip(r)
		}
		gone <- err
	}()
	c.awaitWaiting(1)
	cancel()
	if err := <-gone; err == nil {
		t.Error("an answer came")
	}
	c.awaitWaiting(0)

	// One too many is answered at once, and the end of the server ends all waiting.
	watch.Most = 1
	one := c.waitFor(1, c.public.URL, listPath, admin, "If-None-Match", etag, "Prefer", "wait=60")
	if a := c.do("GET", listPath, admin, nil, "If-None-Match", etag, "Prefer", "wait=60").want(304); a.header.Get("Preference-Applied") != "" {
		t.Error("one too many was let wait")
	}
	c.parts.Server.StopWaiting()
	for _, a := range []*answer{<-one, c.do("GET", listPath, admin, nil, "If-None-Match", etag, "Prefer", "wait=60")} {
		if a.want(304).header.Get("Preference-Applied") != "" {
			t.Error("the wait ended early and was said to have been granted")
		}
	}

	figures, err := c.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	outcomes, waited := map[string]float64{}, 0.0
	for _, f := range figures {
		for _, m := range f.Metric {
			switch f.GetName() {
			case "keystone_revocation_waits_total":
				outcomes[m.Label[0].GetValue()] = m.Counter.GetValue()
			case "keystone_revocation_waiting":
				waited++
				if m.Gauge.GetValue() != 0 {
					t.Errorf("%v wait", m.Gauge)
				}
			}
		}
	}
	for outcome, n := range map[string]float64{"changed": 2, "timeout": 1, "gone": 1, "refused": 1, "shutdown": 2} {
		if outcomes[outcome] != n {
			t.Errorf("waits that ended with %s: %v, want %v", outcome, outcomes[outcome], n)
		}
	}
	if waited != 1 {
		t.Error("no figure of those who wait")
	}
}

// TestWaitForAnotherServer: a revocation by a server on the same database ends the wait too.
func TestWaitForAnotherServer(t *testing.T) {
	c := newCloud(t, "pki")
	admin := c.adminToken()
	etag := c.do("GET", listPath, admin, nil).want(200).header.Get("ETag")
	db, err := c.settings.OpenStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	other := c.settings.Build(db, app.Options{Now: c.clock.Now}).Server
	a := c.login("admin", adminPassword, nil)
	list := c.waitFor(1, c.public.URL, listPath, admin, "If-None-Match", etag, "Prefer", "wait=60")
	if err := other.Tokens.Revoke(t.Context(), a.token()); err != nil {
		t.Fatal(err)
	}
	if d := c.document(<-list); len(d.Revoked) != 1 || d.Revoked[0].AuditID != auditID(a) {
		t.Errorf("list: %+v", d)
	}
}

// TestWaitOutlastsTimeout: the time that a server allows for answers is not that for waiting.
func TestWaitOutlastsTimeout(t *testing.T) {
	c := newCloud(t, "pki")
	slow := httptest.NewUnstartedServer(c.parts.Server.Handler(server.Listener{}))
	slow.Config.WriteTimeout, slow.Config.ReadTimeout = 100*time.Millisecond, 100*time.Millisecond
	slow.Start()
	defer slow.Close()
	admin := c.adminToken()
	etag := c.do("GET", listPath, admin, nil).want(200).header.Get("ETag")
	a := send(t, slow.URL, "GET", listPath, admin, nil, "If-None-Match", etag, "Prefer", "wait=1").want(304)
	if !strings.HasPrefix(a.header.Get("Preference-Applied"), "wait=") {
		t.Error(a.header)
	}
}
