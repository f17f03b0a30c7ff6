package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"authproxy/certs/cms"
)

// With an Identity service that holds its answers back, a revoked token is refused at once, however long the poll's period is.
func TestRevokedAtOnce(t *testing.T) {
	p := newPKI(t)
	k := newKeystone(t, p)
	answer := func(sequence int, entries string) []byte {
		at := time.Now().UTC()
		signed := cms.EncodePEM(p.sign(fmt.Sprintf(`{"revoked":[%s],"sequence":%d,"issued":%q,"next_update":%q}`, entries, sequence,
			at.Format(time.RFC3339), at.Add(time.Hour).Format(time.RFC3339))))
		text, _ := json.Marshal(map[string]string{"signed": string(signed)})
		return text
	}
	revoked, waiting := make(chan bool), make(chan bool, 1)
	plain := k.Config.Handler
	k.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/v3/auth/tokens/OS-PKI/revoked":
			plain.ServeHTTP(w, r)
		case r.Header.Get("If-None-Match") == "":
			w.Header().Set("ETag", `"1-1"`)
			_, _ = w.Write(answer(1, ""))
		case r.URL.RawQuery != "since=1" || r.Header.Get("Prefer") != "wait=7":
			w.WriteHeader(http.StatusNotModified)
		default:
			select {
			case waiting <- true:
			default:
			}
			w.Header().Set("Preference-Applied", "wait=7")
			select {
			case <-revoked:
				w.Header().Set("ETag", `"2-2"`)
				_, _ = w.Write(answer(2, `{"id":"x","audit_id":"`+auditA+`"}`))
			case <-r.Context().Done():
			}
		}
	})
	upstream, _, _ := echoUpstream(t)
	r := begin(t, "--upstream", upstream.URL, "--config-file", k.config(t, ""), "--revocation-cache-time=3600", "--revocation-long-poll=7")
	r.eventually("ready", func() bool { code, _ := r.get(r.admin+"/readyz", ""); return code == 200 })
	alice := p.token("alice", auditA)
	r.expect(r.data+"/", alice, 200, "Confirmed alice member")
	<-waiting
	close(revoked)
	r.eventually("revoked", func() bool { code, _ := r.get(r.data+"/", alice); return code == 401 })
	r.eventually("status", func() bool {
		_, text := r.get(r.admin+"/status", "")
		var st struct {
			Revocation struct {
				Sequence, Lists uint64
				LongPoll        bool `json:"long_poll"`
			}
		}
		return json.Unmarshal([]byte(text), &st) == nil && st.Revocation.Sequence == 2 && st.Revocation.LongPoll
	})
	for _, line := range []string{"authproxy_revocation_list_sequence 2", "authproxy_revocation_long_poll 1", `authproxy_revocation_answers_total{kind="list"} 2`,
		"authproxy_revocation_list_next_update_timestamp_seconds ", "authproxy_revocation_list_kept 1", "authproxy_clock_jumps_total 0"} {
		r.expect(r.admin+"/metrics", "", 200, line)
	}
}
