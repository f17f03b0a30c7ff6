package server

import (
	"errors"
	"fmt"
	"net/http"

	"authproxy/keystone/server/tokens"
	"authproxy/keystone/token"
)

// certificateRoutes give verifiers what they check signatures with: OS-SIMPLE-CERT of v3 and its twin in v2.0. They ask for no
// token. The files are read each time, so that verifiers see a new certificate as soon as it is put in place.
func (s *Server) certificateRoutes(r routes) {
	for path, read := range map[string]func() ([]byte, error){
		"/v3/OS-SIMPLE-CERT/ca":           s.Tokens.Keys.Authorities,
		"/v3/OS-SIMPLE-CERT/certificates": s.Tokens.Keys.Certificates,
	} {
		r.on("GET HEAD", path, func(c *call) error {
			text, err := read()
			if err != nil {
				return err
			}
			c.replyCertificates("application/x-pem-file", text)
			return nil
		})
	}
	for path, read := range map[string]func() ([]byte, error){
		"/v2.0/certificates/ca":      s.Tokens.Keys.Authorities,
		"/v2.0/certificates/signing": s.Tokens.Keys.Certificates,
	} {
		r.on("GET HEAD", path, func(c *call) error {
			text, err := read()
			if errors.Is(err, tokens.ErrNoCertificate) {
				return fmt.Errorf("%w: %w", errNoCertificatesV2, err)
			}
			if err != nil {
				return err
			}
			c.replyCertificates("text/html; charset=UTF-8", text)
			return nil
		})
	}
}

func (c *call) replyCertificates(contentType string, text []byte) {
	c.w.Header().Del("Vary")
	c.replyBytes(http.StatusOK, contentType, text)
}

// certificatesOptional says that missing certificates are no fault: nothing is signed here.
func (s *Server) certificatesOptional() bool { return s.Tokens.Form == token.UUID }
