package validate

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"authproxy/certs"
	"authproxy/certs/certstest"
	"authproxy/certs/cms"
	"authproxy/keystone/token"
	"authproxy/revocation"
	"authproxy/revocation/events"
)

// happenings is an Events whose events a test sets by hand; none are offered at first.
type happenings struct {
	set   atomic.Pointer[events.Set]
	stale atomic.Bool
}

func (h *happenings) Current() *events.Set { return h.set.Load() }
func (h *happenings) Fresh(time.Time) bool { return h.set.Load() != nil && !h.stale.Load() }
func (h *happenings) Offered() bool        { return h.set.Load() != nil }

// happened sets events, each by the JSON of its members.
func (h *happenings) happened(t testing.TB, at time.Time, members ...string) {
	t.Helper()
	var list []string
	for _, m := range members {
		list = append(list, fmt.Sprintf(`{%s,"issued_before":%q}`, m, at.Format(time.RFC3339Nano)))
	}
	parsed, err := events.Parse([]byte(`{"events":[` + strings.Join(list, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	h.set.Store(events.NewSet(parsed))
}

// TestEvents: an event ends a token in every form, on the next request though it is in the cache, and one that was issued after
// the event counts.
func TestEvents(t *testing.T) {
	const uuid = "0123456789abcdef0123456789abcdef"
	f := newFixture(t, certstest.RSA)
	members := `,"issued_at":"` + epoch.Add(-time.Minute).Format(time.RFC3339Nano) + `"`
	online := &identity{known: map[string]string{uuid: body("own", members)}}
	h := new(happenings)
	v := f.validator(func(o *Options) { o.Online, o.Events = online, h })
	texts := []string{f.pki(body("own", members)), f.pkiz(body("own", members)), uuid}
	later := f.pki(body("later", `,"issued_at":"`+epoch.Add(time.Microsecond).Format(time.RFC3339Nano)+`"`))
	for _, event := range []string{`"user_id":"u1"`, `"project_id":"p1"`, `"domain_id":"default"`, `"user_id":"u1","role_id":"r1","project_id":"p1"`, `"role_id":"r1"`} {
		h.happened(t, epoch)
		for _, text := range texts {
			want(t, v, text, "")
		}
		h.happened(t, epoch, event)
		for _, text := range texts {
			want(t, v, text, Revoked)                                                                // from the cache
			want(t, f.validator(func(o *Options) { o.Online, o.Events = online, h }), text, Revoked) // fresh
		}
		want(t, v, later, "")
	}
	if n := v.Stats().Revoked[RevokedByEvent]; n != 15 {
		t.Errorf("%d hits", n)
	}
}

// TestStaleEvents: once the Identity service has given out events, they are needed as the list is.
func TestStaleEvents(t *testing.T) {
	const uuid = "0123456789abcdef0123456789abcdef"
	f := newFixture(t, certstest.RSA)
	text := f.pki(body("own", ""))
	online := &identity{known: map[string]string{text: body("own", ""), uuid: body("own", "")}}
	for _, c := range []struct {
		policy revocation.Policy
		want   Reason
	}{{"", RevocationStale}, {revocation.PolicyOnline, ""}, {revocation.PolicyAccept, ""}} {
		h := new(happenings)
		v := f.validator(func(o *Options) { o.Online, o.Events, o.Stale = online, h, c.policy })
		h.stale.Store(true)
		want(t, v, text, "") // not offered
		h.happened(t, epoch.Add(-time.Hour), `"user_id":"somebody"`)
		asked := online.asked.Load()
		want(t, v, text, c.want)
		if c.policy == revocation.PolicyOnline && online.asked.Load() != asked+1 {
			t.Error("nobody was asked")
		}
		want(t, v, uuid, "") // what was said online is good for token_cache_time
		h.happened(t, epoch, `"user_id":"u1"`)
		want(t, v, text, Revoked) // stale, but known
		want(t, v, uuid, Revoked)
		h.stale.Store(false)
		h.happened(t, epoch, `"user_id":"somebody"`)
		want(t, v, text, "")
	}
}

// TestEventsInsteadOfAList: a Keystone without a list (revoke_by_id = false) has events, and without those nobody can say.
func TestEventsInsteadOfAList(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	f.lists.list.Store(nil)
	f.lists.stale.Store(true)
	text := f.pki(body("own", ""))
	for _, policy := range []revocation.Policy{revocation.PolicyReject, revocation.PolicyAccept} {
		h, absent := new(happenings), false
		v := f.validator(func(o *Options) { o.Events, o.NoList, o.Stale = h, func() bool { return absent }, policy })
		want(t, v, text, RevocationStale)
		h.happened(t, epoch, `"user_id":"somebody"`)
		want(t, v, text, RevocationStale) // the list may be coming yet
		absent = true
		want(t, v, text, "")
		h.happened(t, epoch, `"audit_id":"own"`)
		want(t, v, text, Revoked)
		h.happened(t, epoch, `"user_id":"somebody"`)
		h.stale.Store(true)
		if policy == revocation.PolicyAccept {
			want(t, v, text, "")
		} else {
			want(t, v, text, RevocationStale)
		}
		h.set.Store(nil)
		want(t, v, text, RevocationStale)
	}
}

func TestRevokedByKind(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	h := new(happenings)
	v := f.validator(func(o *Options) { o.Events = h })
	pki, pkiz := f.pki(body("own", "")), f.pkiz(body("own", ""))
	h.happened(t, epoch)
	f.lists.set(entry(md5Of(t, pki), ""))
	want(t, v, pki, Revoked)
	want(t, v, pkiz, Revoked)
	f.lists.set(entry(md5Of(t, pkiz), ""))
	want(t, v, pkiz, Revoked)
	f.lists.set(entry("x", "own"))
	want(t, v, pki, Revoked)
	h.happened(t, epoch, `"user_id":"u1"`)
	want(t, v, pki, Revoked)
	if got := fmt.Sprint(v.Stats().Revoked); got != "map[audit_id:1 canonical_id:1 event:1 id:2]" {
		t.Error(got)
	}
}

// TestAttackCorpusByEvent: what an event ended stays ended in whatever spelling it comes.
func TestAttackCorpusByEvent(t *testing.T) {
	var attacks []struct{ Class, Name, Token string }
	if err := json.Unmarshal(shared(t, "attacks.json"), &attacks); err != nil {
		t.Fatal(err)
	}
	bundle := sharedBundle(t, certs.Policy{}, "attacks-pki")
	users := map[string]bool{}
	var ended []string
	for _, a := range attacks {
		if a.Class != "baseline" {
			continue
		}
		der, err := token.Decode(strings.TrimSpace(a.Token), token.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		message, err := cms.Parse(der)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := token.DecodePayload(message.Content)
		if err != nil {
			t.Fatal(err)
		}
		if !users[payload.User.ID] {
			users[payload.User.ID] = true
			ended = append(ended, fmt.Sprintf(`"user_id":%q`, payload.User.ID))
		}
	}
	h := new(happenings)
	h.happened(t, today, ended...)
	empty := revocation.NewSnapshot(nil, today)
	seasoned := sharedValidator(t, bundle, empty, func(o *Options) { o.Events = h })
	for _, a := range attacks {
		if a.Class != "baseline" && !strings.HasPrefix(a.Class, "malleable") && a.Class != "variant" {
			continue
		}
		for _, v := range []*Validator{seasoned, sharedValidator(t, bundle, empty, func(o *Options) { o.Events = h })} {
			_, err := v.Validate(t.Context(), Request{Token: a.Token})
			reason := ReasonOf(err)
			if reason == "" || (a.Class == "baseline" || strings.Contains(a.Name, "rewrapped")) && reason != Revoked {
				t.Errorf("%s/%s: %v", a.Class, a.Name, err)
			}
		}
	}
}
