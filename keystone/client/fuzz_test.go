package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// FuzzVersionPaths: no version document turns requests to another host.
func FuzzVersionPaths(f *testing.F) {
	for _, href := range []string{"http://elsewhere/identity/v3/", "/v3", "v3", ".example.org/v3", "@elsewhere/", "//elsewhere/v3", "mailto:x", "http://x//y//z/", "http://x/%2f%2fy", "http://x/?a#b", ":5001/v3"} {
		f.Add([]byte(fmt.Sprintf(`{"versions":{"values":[{"id":"v3.14","links":[{"rel":"self","href":%q}]},{"id":"v2.0","links":[{"rel":"self","href":%q}]}]}}`, href, href)))
	}
	base := &url.URL{Scheme: "https", Host: "identity.example.com:5000"}
	old := endpoints{v3: "https://identity.example.com:5000/v3", v2: "https://identity.example.com:5000/v2.0"}
	f.Fuzz(func(t *testing.T, document []byte) {
		found := versionPaths(document, base, old)
		for _, text := range []string{found.v3, found.v2} {
			u, err := url.Parse(text + "/auth/tokens?nocatalog")
			if err != nil || u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil || u.RawQuery != "nocatalog" || u.Fragment != "" {
				t.Errorf("%s leads to %s", document, text)
			}
		}
	})
}

// FuzzReadLogin: whatever is taken for a token can be sent, and has a life ahead of it.
func FuzzReadLogin(f *testing.F) {
	for _, body := range []string{
		`{"token":{"expires_at":"2030-01-02T04:04:05.000000Z","issued_at":"2030-01-02T03:04:05.000000Z"}}`,
		`{"token":{"expires_at":"9999-12-31T23:59:59Z","issued_at":"0001-01-01T00:00:00Z"}}`,
		`{"token":{"expires_at":"2030-01-02T03:04:05+23:59"}}`, `{"token":null}`, `[]`, ``,
	} {
		f.Add("own-1", []byte(body), false)
	}
	f.Add("", []byte(`{"access":{"token":{"id":"own-1","expires":"2030-01-02T04:04:05Z","issued_at":"2030-01-02T03:04:05.000000"}}}`), true)
	now := newClock().Now
	f.Fuzz(func(t *testing.T, text string, body []byte, v2 bool) {
		c := &Client{now: now}
		c.endpoints.Store(&endpoints{noV3: v2})
		own, err := c.readLogin(answer{status: 201, header: http.Header{"X-Subject-Token": {text}}, body: body})
		if err != nil {
			return
		}
		if !sendable(own.text) || own.text != text && !v2 || !own.expires.After(now()) || !own.renewAt.After(now()) || own.renewAt.After(own.expires) ||
			own.expires.Sub(own.renewAt) > 2*time.Minute {
			t.Errorf("%q, %s: got %+v", text, body, own)
		}
	})
}

// FuzzSignedMember: the text is what encoding/json reads.
func FuzzSignedMember(f *testing.F) {
	for _, body := range []string{`{"signed":"-----BEGIN CMS-----\nMI+\/\n-----END CMS-----\n"}`, `{"signed":"\u002b\\n\""}`, `{"signed":null}`, `{"signed":7}`, `{"signed":"a\\"}`, `{}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want struct{ Signed *string }
		wantErr := json.Unmarshal(body, &want)
		got, err := signedMember(body)
		switch {
		case wantErr != nil || want.Signed == nil || *want.Signed == "":
			if err == nil {
				t.Errorf("%s: %q, encoding/json says %v", body, got, wantErr)
			}
		case err != nil || string(got) != *want.Signed:
			t.Errorf("%s: %q, %v, want %q", body, got, err, *want.Signed)
		}
	})
}
