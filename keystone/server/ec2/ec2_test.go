package ec2_test

import (
	"encoding/json"
	"maps"
	"os"
	"testing"
	"time"

	"authproxy/keystone/server/ec2"
)

const secret = "not-so-secret"

var signedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// vectors are requests that another program signed, see testdata/make.py.
func vectors(t *testing.T) map[string]ec2.Request {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var list map[string]struct {
		Access, Signature, Host, Verb, Path string
		Params, Headers                     map[string]string
		BodyHash                            string `json:"body_hash"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	requests := map[string]ec2.Request{}
	for name, v := range list {
		requests[name] = ec2.Request(v)
	}
	return requests
}

func TestVectors(t *testing.T) {
	t.Parallel()
	for name, r := range vectors(t) {
		for _, off := range []time.Duration{0, ec2.Window, -ec2.Window} {
			if err := r.Verify(secret, signedAt.Add(off)); err != nil {
				t.Errorf("version %s, %s later: %v", name, off, err)
			}
		}
		for what, change := range map[string]func(r *ec2.Request){
			"signature":    func(r *ec2.Request) { r.Signature = "x" + r.Signature[1:] },
			"no signature": func(r *ec2.Request) { r.Signature = "" },
			"an action":    func(r *ec2.Request) { r.Params["Action"] = "Terminate" },
			"no time": func(r *ec2.Request) {
				for _, of := range []map[string]string{r.Params, r.Headers} {
					delete(of, "Timestamp")
					delete(of, "X-Amz-Date")
				}
			},
			"another version": func(r *ec2.Request) { r.Params["SignatureVersion"] = "3" },
			"version": func(r *ec2.Request) {
				delete(r.Params, "SignatureVersion")
				delete(r.Headers, "Authorization")
				delete(r.Params, "X-Amz-Algorithm")
			},
		} {
			if what == "an action" && name == "4 POST" { // parameters are in the body
				continue
			}
			changed := r
			changed.Params, changed.Headers = maps.Clone(r.Params), maps.Clone(r.Headers)
			change(&changed)
			if changed.Verify(secret, signedAt) == nil {
				t.Errorf("version %s is good after a change: %s", name, what)
			}
		}
		for _, off := range []time.Duration{ec2.Window + time.Second, -ec2.Window - time.Second} {
			if r.Verify(secret, signedAt.Add(off)) == nil {
				t.Errorf("version %s is good %s later", name, off)
			}
		}
		for _, other := range []string{"", "not-so-secret ", "Not-so-secret"} {
			if r.Verify(other, signedAt) == nil {
				t.Errorf("version %s is good by the secret %q", name, other)
			}
		}
	}
}

// TestSHA1 is the older method of version 2, which the other signer knows no more; the signature is by
// printf 'GET\nh\n/\n…' | openssl dgst -sha1 -hmac not-so-secret -binary | base64
func TestSHA1(t *testing.T) {
	t.Parallel()
	r := ec2.Request{Access: "A", Host: "h", Verb: "GET", Path: "/", Signature: "Ia0ne2OLSXs7pmiV22G0b6PoRsU=",
		Params: map[string]string{"SignatureVersion": "2", "SignatureMethod": "HmacSHA1", "Timestamp": "2026-01-02T03:04:05Z"}}
	if err := r.Verify(secret, signedAt); err != nil {
		t.Error(err)
	}
	for _, method := range []string{"", "HmacSHA256", "HmacMD5"} {
		r.Params["SignatureMethod"] = method
		if r.Verify(secret, signedAt) == nil {
			t.Errorf("method %q passes", method)
		}
	}
}

func TestVersion4Credential(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(r *ec2.Request){
		"another key":  func(r *ec2.Request) { r.Access = "B" },
		"another day":  func(r *ec2.Request) { r.Params["X-Amz-Credential"] = "A/20260103/r/ec2/aws4_request" },
		"no scope":     func(r *ec2.Request) { r.Params["X-Amz-Credential"] = "A" },
		"no header":    func(r *ec2.Request) { r.Params["X-Amz-SignedHeaders"] = "" },
		"algorithm":    func(r *ec2.Request) { r.Params["X-Amz-Algorithm"] = "AWS4-HMAC-SHA1" },
		"other header": func(r *ec2.Request) { r.Headers["Host"] = "other" },
		"both": func(r *ec2.Request) {
			r.Headers["authorization"] = "AWS4-HMAC-SHA256 Credential=A/20260102/r/ec2/aws4_request"
		},
		"time of 2 kinds": func(r *ec2.Request) { r.Params["X-Amz-Date"] = "2026-01-02T03:04:06Z" },
	} {
		r := vectors(t)["4 query"]
		change(&r)
		if r.Verify(secret, signedAt) == nil {
			t.Errorf("good after a change: %s", name)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("2", "HmacSHA256", "2026-01-02T03:04:05Z", "", "h:1", "x")
	f.Add("", "", "", "AWS4-HMAC-SHA256 Credential=A/20260102/r/ec2/aws4_request, SignedHeaders=host;, Signature=x", "[::1]:80", "x")
	f.Fuzz(func(t *testing.T, version, method, at, authorization, host, signature string) {
		r := ec2.Request{Access: "A", Signature: signature, Host: host, Verb: "GET", Path: "/", Headers: map[string]string{"Authorization": authorization, "X-Amz-Date": at},
			Params: map[string]string{"SignatureVersion": version, "SignatureMethod": method, "Timestamp": at}}
		if r.Verify(secret, signedAt) == nil {
			t.Errorf("%+v passes", r)
		}
	})
}
