package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// newHTTPClient is the client that all requests go through.
func (o *Options) newHTTPClient() (*http.Client, error) {
	if o.HTTPClient != nil {
		if o.CAFile != "" || o.CertFile != "" || o.KeyFile != "" || o.Insecure {
			return nil, errors.New("an HTTPClient brings its own TLS settings; CAFile, CertFile, KeyFile and Insecure cannot be set beside it")
		}
		h := *o.HTTPClient
		h.CheckRedirect = stayOnHost
		return &h, nil
	}
	config, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true) // as Keystones speak; HTTP/2 would put all validations at the mercy of one connection
	return &http.Client{
		CheckRedirect: stayOnHost,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: o.ConnectTimeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    o.ConnectTimeout,
			Protocols:              &protocols,
			DisableCompression:     true,
			MaxIdleConns:           64,
			MaxIdleConnsPerHost:    64,
			MaxConnsPerHost:        256,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 1 << 20, // a PKI token in X-Subject-Token has to fit
		},
	}, nil
}

func (o *Options) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.Insecure}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("cafile: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cafile: %s holds no certificate in PEM", o.CAFile)
		}
	}
	switch {
	case o.CertFile == "" && o.KeyFile != "":
		return nil, errors.New("keyfile has no certificate to go with; set certfile")
	case o.CertFile != "":
		keyFile := o.KeyFile
		if keyFile == "" {
			keyFile = o.CertFile
		}
		first, err := tls.LoadX509KeyPair(o.CertFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("certfile %s with the key of %s: %w", o.CertFile, keyFile, err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if renewed, err := tls.LoadX509KeyPair(o.CertFile, keyFile); err == nil {
				return &renewed, nil
			}
			return &first, nil // the files are just being replaced
		}
	}
	return config, nil
}

// redirectError is a redirect that was not followed.
type redirectError string

func (e redirectError) Error() string { return string(e) }

// stayOnHost follows redirects only where the headers may go: net/http would send X-Auth-Token to any host.
func stayOnHost(r *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case r.URL.Scheme != first.URL.Scheme || r.URL.Host != first.URL.Host:
		return redirectError("it answered with a redirect to another address, where tokens are not sent; set auth_url to the final address")
	case r.Method != first.Method:
		return redirectError("it answered with a redirect that turns " + first.Method + " into " + r.Method + "; set auth_url to the final address")
	case len(via) >= 5:
		return redirectError("it answered with one redirect after the other")
	}
	return nil
}
