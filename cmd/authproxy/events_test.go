package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"authproxy/keystone/config"
)

// TestEventsInStatus: events end a cached token within a period, and metrics and status tell by what tokens were refused.
func TestEventsInStatus(t *testing.T) {
	p := newPKI(t)
	k := newKeystone(t, p)
	k.events = `{"events":[]}`
	upstream, _, _ := echoUpstream(t)
	r := begin(t, "--upstream", upstream.URL, "--config-file", k.config(t, ""))
	r.eventually("ready", func() bool { code, _ := r.get(r.admin+"/readyz", ""); return code == 200 })
	alice := p.token("alice", auditA)
	r.expect(r.data+"/", alice, 200, "Confirmed alice member")
	r.expect(r.data+"/", p.token("bob", auditB), 401, "")
	k.set(func() { k.events = `{"events":[{"user_id":"alice-id","issued_before":"2026-06-01T00:00:00.000000Z"}]}` })
	r.eventually("refused by event", func() bool { code, _ := r.get(r.data+"/", alice); return code == 401 })
	for _, line := range []string{"authproxy_revocation_events 1", "authproxy_revocation_events_fresh 1", "authproxy_revocation_events_age_seconds ",
		`authproxy_revocation_events_polls_total{result="not_offered"} 0`, `authproxy_revoked_tokens_total{kind="audit_id"} 1`,
		`authproxy_revoked_tokens_total{kind="canonical_id"} 0`, `authproxy_revoked_tokens_total{kind="id"} 0`} {
		r.expect(r.admin+"/metrics", "", 200, line)
	}
	_, text := r.get(r.admin+"/status", "")
	var st struct {
		Events struct {
			Offered, Fresh bool
			Events         int
		} `json:"revocation_events"`
		Hits map[string]uint64 `json:"revoked_hits"`
	}
	if err := json.Unmarshal([]byte(text), &st); err != nil || !st.Events.Offered || !st.Events.Fresh || st.Events.Events != 1 ||
		len(st.Hits) != 4 || st.Hits["event"] == 0 || st.Hits["audit_id"] != 1 {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestEventsOff: who switches them off, and whose connection to the Identity service proves nothing, does not ask for them.
func TestEventsOff(t *testing.T) {
	p := newPKI(t)
	k := newKeystone(t, p)
	k.events = `{"events":[{"user_id":"alice-id","issued_before":"2026-06-01T00:00:00.000000Z"}]}`
	asked := false
	plain := k.Config.Handler
	k.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "OS-REVOKE") {
			k.set(func() { asked = true })
		}
		plain.ServeHTTP(w, r)
	})
	upstream, _, _ := echoUpstream(t)
	r := begin(t, "--upstream", upstream.URL, "--config-file", k.config(t, "revocation_events = off"))
	r.eventually("ready", func() bool { code, _ := r.get(r.admin+"/readyz", ""); return code == 200 })
	r.expect(r.data+"/", p.token("alice", auditA), 200, "Confirmed alice member")
	k.set(func() {
		if asked {
			t.Error("asked for events")
		}
	})
	for url, used := range map[string]bool{"http://keystone.example.com:5000": false, "https://keystone.example.com:5000": true, "http://127.0.0.1:5000": true, "http://[::1]:5000": true} {
		file := write(t, filepath.Join(t.TempDir(), "c.conf"), []byte("[keystone_authtoken]\nauth_url = "+url+"\nusername = u\npassword = p\nuser_domain_id = default\n"))
		token, err := config.LoadAuthToken(config.Input{Files: []string{file}})
		if err != nil {
			t.Fatal(err)
		}
		built, err := build(&settings{upstream: upstream.URL, listen: "127.0.0.1:0", adminListen: "127.0.0.1:0", headerEncoding: "utf-8", token: token}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if (built.events != nil) != used {
			t.Errorf("%s: events %t", url, built.events != nil)
		}
	}
}
