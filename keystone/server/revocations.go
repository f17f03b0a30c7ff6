package server

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/tokens"
)

const (
	// maxWait is the longest wait in seconds that a client may prefer.
	maxWait = 60
	// answerTimeout is how long an answer may take to be sent after a wait.
	answerTimeout = time.Minute
)

// revocationList is GET /v3/auth/tokens/OS-PKI/revoked: the signed list, or with ?audit_id_only a plain one without ids.
//
// Beyond Keystone: the answer has an ETag, and If-None-Match (RFC 9110, section 13.1.2) is answered 304 while nothing changes;
// with Prefer: wait=N too (RFC 7240, section 4.3) only when something does, or after N seconds; and ?since=S asks for what came
// after step S of the list alone. A client of Keystone's knows none of that and gets the list.
func revocationList(c *call) error {
	if !c.s.RevokeByID {
		return fault.Gone{What: "This service keeps no list of revoked tokens ([token] revoke_by_id)."}
	}
	query := c.r.URL.Query()
	if flag(query, "audit_id_only") {
		list, err := c.s.Tokens.ShortRevocationList(c.ctx())
		if err != nil {
			return err
		}
		c.replyBytes(http.StatusOK, "application/json", list)
		return nil
	}
	since, asked := sinceStep(query)
	known := c.r.Header.Values("If-None-Match")
	state, err := c.s.Tokens.RevocationState(c.ctx())
	if err != nil {
		return err
	}
	// A delta answers 304 only to who is at the end of it.
	unchanged := func() bool { return matches(known, state.ETag()) && (!asked || since == state.Sequence) }
	if seconds := preferredWait(c.r.Header); seconds > 0 && len(known) > 0 {
		applied := true
		if unchanged() {
			if applied, err = c.await(state, time.Duration(seconds)*time.Second); err != nil {
				return err
			}
			if state, err = c.s.Tokens.RevocationState(c.ctx()); err != nil {
				return err
			}
		}
		if applied {
			c.w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(seconds))
		}
	}
	if unchanged() {
		c.w.Header().Set("ETag", state.ETag())
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	doc, err := c.s.Tokens.SignedRevocations(c.ctx(), since)
	if err != nil {
		return err
	}
	c.w.Header().Set("ETag", doc.State.ETag())
	c.replyBytes(http.StatusOK, "application/json", doc.Body)
	return nil
}

// await waits until the list is at another state. It returns false where the wait was cut short, so that the client does not
// come back at once.
func (c *call) await(seen tokens.ListState, d time.Duration) (bool, error) {
	if c.s.Tokens.Watch == nil {
		return false, nil
	}
	// What the server allows for answers is counted from their beginning.
	if err := http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(d + answerTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return false, err
	}
	start := time.Now()
	outcome, err := c.s.Tokens.Watch.Wait(c.ctx(), seen, d)
	c.waited = time.Since(start)
	c.s.metrics.waits.WithLabelValues(string(outcome)).Inc()
	return outcome == tokens.Changed || outcome == tokens.TimedOut, err
}

// sinceStep is the step of the list that a client has, by ?since=S. What is no such step asks for the whole list.
func sinceStep(query url.Values) (step int64, asked bool) {
	if !query.Has("since") {
		return tokens.WholeList, false
	}
	step, err := strconv.ParseInt(query.Get("since"), 10, 64)
	if err != nil || step < 1 {
		return tokens.WholeList, true
	}
	return step, true
}

// matches says whether If-None-Match names an entity tag. The tags of the list hold no comma.
func matches(ifNoneMatch []string, tag string) bool {
	for _, line := range ifNoneMatch {
		for one := range strings.SplitSeq(line, ",") {
			if one = strings.TrimPrefix(strings.TrimSpace(one), "W/"); one == tag || one == "*" {
				return true
			}
		}
	}
	return false
}

// preferredWait is the number of seconds in Prefer: wait=N, 0 where there is none that can be granted. The first one counts.
func preferredWait(h http.Header) int {
	for _, line := range h.Values("Prefer") {
		for preference := range strings.SplitSeq(line, ",") {
			preference, _, _ = strings.Cut(preference, ";") // parameters of the preference
			name, value, _ := strings.Cut(preference, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			value = strings.TrimSpace(value)
			if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
				value = value[1 : len(value)-1]
			}
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil || n > maxWait {
				return 0
			}
			return int(n)
		}
	}
	return 0
}
