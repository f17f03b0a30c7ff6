package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"authproxy/certs"
	"authproxy/revocation"
)

// maxWait is the longest wait to ask for; RFC 7240 leaves the bound to those who talk.
const maxWait = 60 * time.Second

// FetchRevocationList gets the signed revocation list, GET /v3/auth/tokens/OS-PKI/revoked or /v2.0/tokens/revoked, with the own token. It returns the
// CMS text in PEM, unverified. The error wraps certs.ErrNoPKI at 403, 404 or 410; 403 may also mean that the proxy's user lacks
// the role that the list needs.
func (c *Client) FetchRevocationList(ctx context.Context) (signed []byte, err error) {
	a, err := c.FetchRevocationChanges(ctx, revocation.Have{})
	return a.Signed, err
}

// FetchRevocationChanges is FetchRevocationList for somebody who has a list. It asks for what came since (?since=S), only if
// there is something (If-None-Match), and, if have says so, lets the service wait until there is (Prefer: wait=N, RFC 7240): then
// the bound on the answer's time grows by as much. Services that know none of this answer with the list. It is a
// revocation.ConditionalSource.
func (c *Client) FetchRevocationChanges(ctx context.Context, have revocation.Have) (revocation.Answer, error) {
	const doing = "fetching the revocation list"
	r := call{doing: doing, method: http.MethodGet, url: c.endpoints.Load().v3 + "/auth/tokens/OS-PKI/revoked",
		limit: c.options.MaxListSize, timeout: c.options.ListTimeout, header: http.Header{}}
	if c.speaksV2() {
		r.url = c.endpoints.Load().v2 + "/tokens/revoked" // which knows of nothing but the whole list
		have.Sequence = 0
	}
	if have.Sequence > 0 {
		r.url += "?since=" + strconv.FormatUint(have.Sequence, 10)
	}
	if have.ETag != "" {
		r.header.Set("If-None-Match", have.ETag)
		if wait := min(have.Wait, maxWait).Truncate(time.Second); wait > 0 {
			r.header.Set("Prefer", fmt.Sprintf("wait=%d", wait/time.Second))
			r.timeout += wait
		}
	}
	a, err := c.sendOwn(ctx, r)
	switch {
	case err != nil:
		return revocation.Answer{}, err
	case a.status == http.StatusForbidden:
		return revocation.Answer{}, fmt.Errorf("%s: %w (it answered 403, which may also mean that the proxy's user lacks the role admin or service)", doing, certs.ErrNoPKI)
	case saysNoPKI(a.status):
		return revocation.Answer{}, fmt.Errorf("%s: %w (it answered %d)", doing, certs.ErrNoPKI, a.status)
	}
	answer := revocation.Answer{ETag: entityTag(a.header), WaitApplied: r.header.Get("Prefer") != "" && waitApplied(a.header)}
	switch {
	case a.status == http.StatusNotModified && have.ETag != "":
		answer.NotModified, answer.ETag = true, have.ETag
		return answer, nil
	case a.status != http.StatusOK:
		return revocation.Answer{}, answered(doing, a.status)
	}
	if answer.Signed, err = signedMember(a.body); err != nil {
		return revocation.Answer{}, unavailable(doing, err)
	}
	return answer, nil
}

// signedMember takes the text out of {"signed": "…"}.
func signedMember(body []byte) ([]byte, error) {
	var document struct {
		Signed json.RawMessage `json:"signed"`
	}
	text := []byte(nil)
	err := json.Unmarshal(body, &document)
	if err == nil && len(document.Signed) > 0 && document.Signed[0] != 'n' { // null
		text, err = unquote(document.Signed)
	}
	switch {
	case err != nil:
		return nil, errors.New("the answer is not JSON with a text in its member signed")
	case len(text) == 0:
		return nil, errors.New("the answer has no member signed")
	}
	return text, nil
}

// unquote decodes a JSON string: where it stands, if it is ASCII whose only escapes are those of line ends and slashes, as PEM
// is. A list may have hundreds of megabytes.
func unquote(quoted []byte) ([]byte, error) {
	if len(quoted) < 2 || quoted[0] != '"' {
		return nil, errors.New("no string")
	}
	inside, plain := quoted[1:len(quoted)-1], true
	for i := 0; i < len(inside) && plain; i++ {
		switch c := inside[i]; {
		case c == '\\':
			i++
			plain = inside[i] == 'n' || inside[i] == '/'
		default:
			plain = c < utf8.RuneSelf
		}
	}
	if !plain {
		var text string
		err := json.Unmarshal(quoted, &text)
		return []byte(text), err
	}
	out := inside[:0]
	for i := 0; i < len(inside); i++ {
		c := inside[i]
		if c == '\\' {
			if i++; inside[i] == 'n' {
				c = '\n'
			} else {
				c = '/'
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// entityTag takes the ETag of an answer, or "" for what is none that could be sent back.
func entityTag(h http.Header) string {
	tag := h.Get("ETag")
	opaque := strings.TrimPrefix(tag, "W/")
	if len(tag) > 256 || len(opaque) < 2 || opaque[0] != '"' || opaque[len(opaque)-1] != '"' || strings.ContainsAny(opaque[1:len(opaque)-1], "\" ,") {
		return ""
	}
	return tag
}

// waitApplied says whether the service tells that it was ready to wait: Preference-Applied: wait=30.
func waitApplied(h http.Header) bool {
	for _, line := range h.Values("Preference-Applied") {
		for preference := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(preference, "=")
			if strings.EqualFold(strings.TrimSpace(name), "wait") {
				return true
			}
		}
	}
	return false
}
