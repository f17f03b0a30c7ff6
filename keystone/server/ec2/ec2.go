// Package ec2 checks signatures that were made with EC2 keys, in the four versions that Amazon's interfaces have had.
//
// A service that was sent a signed request hands over what was signed; the secret stays here.
package ec2

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Window is how far the time in a signed request may be from ours, so that one that was overheard is not good for ever.
const Window = 15 * time.Minute

// Request is what somebody signed. Names of Headers are in any case.
type Request struct {
	Access    string
	Signature string
	Host      string
	Verb      string
	Path      string
	Params    map[string]string
	Headers   map[string]string
	// BodyHash is the SHA-256 of the body in hex, for version 4.
	BodyHash string
}

// AccessKey names the key.
func (r Request) AccessKey() string { return r.Access }

// Verify says what keeps the signature from being one by this secret; nil for nothing.
func (r Request) Verify(secret string, now time.Time) error {
	switch {
	case r.Signature == "":
		return errors.New("no signature")
	case secret == "": // anybody could sign with it
		return errors.New("the key has no secret")
	}
	s, err := r.signer()
	if err != nil {
		return err
	}
	if off := now.Sub(s.at).Abs(); off > Window {
		return fmt.Errorf("signed at %s, which is more than %s from now", s.at.UTC().Format(time.RFC3339), Window)
	}
	host := r.Host
	if r.isVersion4() && r.header("Host") != "" {
		host = r.header("Host")
	}
	if same(s.sign(secret, host), r.Signature) {
		return nil
	}
	// Some clients sign the host without its port.
	if host, _, err := net.SplitHostPort(host); err == nil && same(s.sign(secret, host), r.Signature) {
		return nil
	}
	return errors.New("wrong signature")
}

// same compares in a time that does not depend on where they differ.
func same(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

// signer signs one request.
type signer struct {
	at   time.Time
	sign func(secret, host string) string
}

// signer is the one of the version that the request says it is signed by.
func (r Request) signer() (signer, error) {
	version := r.Params["SignatureVersion"]
	if r.isVersion4() {
		if version != "" {
			return signer{}, errors.New("signed by version 4 and by another one")
		}
		return r.version4()
	}
	at, err := parseTime(r.Params["Timestamp"])
	if err != nil {
		return signer{}, err
	}
	switch version {
	case "0":
		return signer{at, func(secret, _ string) string { return r.version0(secret) }}, nil
	case "1":
		return signer{at, func(secret, _ string) string { return r.version1(secret) }}, nil
	case "2":
		method, ok := map[string]func() hash.Hash{"HmacSHA256": sha256.New, "HmacSHA1": sha1.New}[r.Params["SignatureMethod"]]
		if !ok {
			return signer{}, fmt.Errorf("SignatureMethod %.40q is neither HmacSHA256 nor HmacSHA1", r.Params["SignatureMethod"])
		}
		return signer{at, func(secret, host string) string { return r.version2(method, secret, host) }}, nil
	}
	return signer{}, fmt.Errorf("SignatureVersion %.40q is not one of 0, 1, 2, 4", version)
}

// parseTime reads an instant as the interfaces write it; one without a zone is in UTC.
func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, errors.New("it does not say when it was signed")
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", basicTime} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("signed at %.40q, which is no time", text)
}

func digest(method func() hash.Hash, secret []byte, text string) []byte {
	h := hmac.New(method, secret)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// version0 signs the action and the time.
func (r Request) version0(secret string) string {
	return base64.StdEncoding.EncodeToString(digest(sha1.New, []byte(secret), r.Params["Action"]+r.Params["Timestamp"]))
}

// version1 signs all parameters, ordered by name without regard to case.
func (r Request) version1(secret string) string {
	names := r.names()
	slices.SortStableFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	var text strings.Builder
	for _, name := range names {
		text.WriteString(name + r.Params[name])
	}
	return base64.StdEncoding.EncodeToString(digest(sha1.New, []byte(secret), text.String()))
}

// version2 signs verb, host, path and all parameters.
func (r Request) version2(method func() hash.Hash, secret, host string) string {
	text := r.Verb + "\n" + host + "\n" + r.Path + "\n" + r.query()
	return base64.StdEncoding.EncodeToString(digest(method, []byte(secret), text))
}

// names are those of the parameters, in order, without the signature's own.
func (r Request) names() []string {
	var names []string
	for name := range r.Params {
		if name != "Signature" && name != "X-Amz-Signature" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// query is the parameters as they are signed: ordered by name, with all but the unreserved characters encoded (RFC 3986).
func (r Request) query() string {
	pairs := []string{}
	for _, name := range r.names() {
		pairs = append(pairs, escape(name)+"="+escape(r.Params[name]))
	}
	return strings.Join(pairs, "&")
}

func escape(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

func hexSHA256(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
