package server

import (
	"net/http"

	"authproxy/keystone/server/ec2"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/tokens"
)

// ec2Token is POST /v3/ec2tokens and /v2.0/ec2tokens: a service that was sent a request signed with an EC2 key gets a token of the
// key's user. Only services and administrators may ask: a signed request is no secret to everybody who passes it on, and anybody
// could have made a token of it (CVE-2025-65073).
func ec2Token(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	signed, err := signedEC2(body)
	if err != nil {
		return err
	}
	request := tokens.Request{Methods: []string{tokens.EC2Method}, EC2: &signed, V2: c.isV2(), NoCatalog: flag(c.r.URL.Query(), "nocatalog")}
	issued, err := c.issue(request)
	if err != nil {
		return err
	}
	if request.V2 {
		return c.replyAccess(&issued.Record, issued.Text)
	}
	c.w.Header().Set(subjectToken, issued.Text)
	c.replyBytes(http.StatusOK, "application/json", issued.Record.Body)
	return nil
}

// signedEC2 is the signed request in a body, under one of the names that it has had.
func signedEC2(body object) (ec2.Request, error) {
	var o object
	for _, name := range []string{"credentials", "ec2Credentials", "OS-KSEC2:ec2Credentials"} {
		if found, ok := body.member(name); ok {
			o = found
			break
		}
	}
	if o == nil {
		return ec2.Request{}, fault.Missing("credentials", "request body")
	}
	f := fields{o: o}
	text := func(name string) string { return orDefault(f.text(name), "") }
	r := ec2.Request{Access: text("access"), Signature: text("signature"), Host: text("host"), Verb: text("verb"), Path: text("path"),
		BodyHash: text("body_hash"), Params: f.texts("params"), Headers: f.texts("headers")}
	if f.err != nil {
		return ec2.Request{}, f.err
	}
	if r.Access == "" {
		return ec2.Request{}, fault.Unauthorized{Why: "no EC2 access key"}
	}
	return r, nil
}
