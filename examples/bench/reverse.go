package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
)

// serveReverseProxy is the program in its second role: httputil.ReverseProxy with a transport that keeps its connections.
func serveReverseProxy(listen, upstream string) error {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, mostConnections
	transport.DisableCompression = true
	target := &url.URL{Scheme: "http", Host: upstream}
	server := &http.Server{Addr: listen, MaxHeaderBytes: 1 << 20, Handler: &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
	}}
	return server.ListenAndServe()
}
