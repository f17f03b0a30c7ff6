package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"authproxy/certs/certstest"
)

// TestRefetch: a signer that is gone, a token that was revoked and an event count as soon as the operator asks for it.
func TestRefetch(t *testing.T) {
	for name, ask := range map[string]func(*running){
		"POST": func(r *running) {
			res, err := r.http.Post(r.admin+"/refetch", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			var said map[string]string
			if err := json.NewDecoder(res.Body).Decode(&said); err != nil || res.StatusCode != http.StatusOK || said["certificates"] != "ok" ||
				said["revocation"] != "ok" || said["revocation_events"] != "ok" {
				t.Errorf("%d %v %v", res.StatusCode, said, err)
			}
			if again, err := r.http.Post(r.admin+"/refetch", "", nil); err != nil || again.StatusCode != http.StatusTooManyRequests || again.Header.Get("Retry-After") == "" {
				t.Errorf("a second time: %v %v", again, err)
			} else {
				again.Body.Close()
			}
		},
		"SIGHUP": func(*running) {
			if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPKI(t)
			k := newKeystone(t, p)
			k.events = `{"events":[]}`
			upstream, _, _ := echoUpstream(t)
			r := begin(t, "--upstream", upstream.URL, "--config-file", k.config(t, ""), "--revocation-cache-time=3600", "--cert-refresh-interval=3600", "--cert-refresh-cooldown=60")
			r.eventually("ready", func() bool { code, _ := r.get(r.admin+"/readyz", ""); return code == 200 })
			revoked, ended := p.token("alice", auditA), p.token("bob", "DDDDDDDDDDDDDDDDDDDDDA")
			for _, text := range []string{revoked, ended} {
				r.expect(r.data+"/", text, 200, "Confirmed")
			}
			old := p.signer
			renewed := p.ca.Issue(t, certstest.RSA)
			k.set(func() { p.signer = renewed })
			gone := func() string { // signed by whom nobody knows any more
				p.signer = old
				defer func() { p.signer = renewed }()
				return p.token("carol", "EEEEEEEEEEEEEEEEEEEEEA")
			}()
			fresh := p.list(auditA)
			k.set(func() {
				k.list = fresh
				k.events = `{"events":[{"user_id":"bob-id","issued_before":"2026-06-01T00:00:00.000000Z"}]}`
			})
			r.expect(r.data+"/", gone, 200, "Confirmed")
			ask(r)
			for _, text := range []string{gone, revoked, ended} {
				r.eventually("refused", func() bool { code, _ := r.get(r.data+"/", text); return code == 401 })
			}
			r.expect(r.data+"/", p.token("dora", "FFFFFFFFFFFFFFFFFFFFFA"), 200, "Confirmed dora")
		})
	}
}

// TestRefetchFails: what could not be fetched is said, and nothing is lost by it.
func TestRefetchFails(t *testing.T) {
	p := newPKI(t)
	k := newKeystone(t, p)
	upstream, _, _ := echoUpstream(t)
	r := begin(t, "--upstream", upstream.URL, "--config-file", k.config(t, ""))
	r.eventually("ready", func() bool { code, _ := r.get(r.admin+"/readyz", ""); return code == 200 })
	k.set(func() { k.down = true })
	res, err := r.http.Post(r.admin+"/refetch", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var said map[string]string
	if err := json.NewDecoder(res.Body).Decode(&said); err != nil || res.StatusCode != http.StatusBadGateway || !strings.Contains(said["certificates"], "503") {
		t.Errorf("%d %v %v", res.StatusCode, said, err)
	}
	r.expect(r.data+"/", p.token("alice", auditA), 200, "Confirmed")
	var left refetches
	if left.begin(time.Hour) != 0 || left.begin(time.Hour) < 59*time.Minute || left.begin(0) != 0 {
		t.Error("the cooldown does not count")
	}
}
