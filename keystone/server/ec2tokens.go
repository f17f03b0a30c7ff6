package server

import (
	"net/http"

	"authproxy/keystone/server/ec2"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/tokens"
)

// forServices lets services and administrators, not those who were delegated to, hand over signed requests: such a request is no
// secret to everybody who passes it on, and anybody could have made a token of it (CVE-2025-65073).
// [credential] insecure_anonymous_signatures lets in everybody who has no token at all.
func forServices(h handler) handler {
	signed := guard{action: serviceRule}.protect(noDelegated(h))
	return func(c *call) error {
		if c.s.AnonymousSignatures && c.r.Header.Get("X-Auth-Token") == "" {
			return h(c)
		}
		return signed(c)
	}
}

// ec2Token is POST /v3/ec2tokens and /v2.0/ec2tokens: a service that was sent a request signed with an EC2 key gets a token of the
// key's user.
func ec2Token(c *call) error {
	o, err := c.signedBody("OS-KSEC2:ec2Credentials")
	if err != nil {
		return err
	}
	signed, err := signedEC2(o)
	if err != nil {
		return err
	}
	issued, err := c.issueSigned(tokens.Request{EC2: signed})
	if err != nil {
		return err
	}
	if c.isV2() {
		return c.replyAccess(&issued.Record, issued.Text)
	}
	c.w.Header().Set(subjectToken, issued.Text)
	c.replyBytes(http.StatusOK, "application/json", issued.Record.Body)
	return nil
}

// s3Token is POST /v3/s3tokens and /v2.0/s3tokens: the same for a request to S3. By v3 the service learns whose it is and gets no
// token, as with later Keystones; by v2.0 it gets one, as with Kilo.
func s3Token(c *call) error {
	o, err := c.signedBody("credential")
	if err != nil {
		return err
	}
	signed, err := signedS3(o)
	if err != nil {
		return err
	}
	issued, err := c.issueSigned(tokens.Request{EC2: signed, Unkept: !c.isV2()})
	if err != nil {
		return err
	}
	if c.isV2() {
		return c.replyAccess(&issued.Record, issued.Text)
	}
	c.replyBytes(http.StatusOK, "application/json", issued.Record.Body)
	return nil
}

// issueSigned issues a token to the user of an EC2 key.
func (c *call) issueSigned(request tokens.Request) (tokens.Issued, error) {
	request.Methods, request.Address = []string{tokens.EC2Method}, c.address()
	request.V2, request.NoCatalog = c.isV2(), flag(c.r.URL.Query(), "nocatalog")
	return c.issue(request)
}

// signedBody is the signed request in the body, under one of the names that it has had.
func (c *call) signedBody(another string) (object, error) {
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"credentials", "ec2Credentials", another} {
		if o, ok := body.member(name); ok {
			return o, nil
		}
	}
	return nil, fault.Missing("credentials", "request body")
}

func signedS3(o object) (ec2.S3, error) {
	f := fields{o: o}
	access, token, signature := f.text("access"), f.text("token"), f.text("signature")
	switch {
	case f.err != nil:
		return ec2.S3{}, f.err
	case token == nil:
		return ec2.S3{}, fault.Missing("token", "credentials")
	}
	text, err := ec2.DecodeS3(*token)
	if err != nil {
		return ec2.S3{}, fault.Invalid{Message: "Invalid input for field 'token': " + err.Error() + "."}
	}
	r := ec2.S3{Access: orDefault(access, ""), Signature: orDefault(signature, ""), Text: text}
	return r, hasAccess(r.Access)
}

func hasAccess(access string) error {
	if access == "" {
		return fault.Unauthorized{Why: "no EC2 access key"}
	}
	return nil
}

func signedEC2(o object) (ec2.Request, error) {
	f := fields{o: o}
	text := func(name string) string { return orDefault(f.text(name), "") }
	r := ec2.Request{Access: text("access"), Signature: text("signature"), Host: text("host"), Verb: text("verb"), Path: text("path"),
		BodyHash: text("body_hash"), Params: f.texts("params"), Headers: f.texts("headers")}
	if f.err != nil {
		return ec2.Request{}, f.err
	}
	return r, hasAccess(r.Access)
}
