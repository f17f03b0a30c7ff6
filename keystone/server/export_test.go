package server

import "github.com/gorilla/mux"

// Router has the routes of a listener.
func (s *Server) Router(l Listener) *mux.Router { return s.router(l) }
