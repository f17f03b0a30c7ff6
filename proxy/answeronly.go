package proxy

import (
	"net/http"

	"authproxy/proxy/headers"
)

// answers is the forwarder of Handlers that pass nothing on: an accepted request is answered with the identity that the upstream
// would have been told. A name that it would not have been told is not in the answer.
type answers struct{}

func (answers) forward(w http.ResponseWriter, _ *http.Request, x *exchange) {
	header := w.Header()
	v := &x.verdict
	switch {
	case v.anonymous != "":
	case v.user != nil:
		v.user.Set(header)
	default:
		headers.SetInvalid(header)
	}
	switch {
	case v.service != nil:
		v.service.Set(header)
	case v.serviceErr != nil:
		headers.SetServiceInvalid(header)
	}
	if v.negotiated != "" {
		header.Add("WWW-Authenticate", v.negotiated)
	}
	x.code = http.StatusOK
	w.WriteHeader(x.code)
}
