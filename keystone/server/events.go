package server

import (
	"net/http"
	"time"

	"authproxy/keystone/server/fault"
)

// eventRoutes give out the events by which tokens ended: the extension OS-REVOKE. Every token may read them.
func (s *Server) eventRoutes(r routes) {
	r.on("GET HEAD", "/v3/OS-REVOKE/events", protect("identity:list_revoke_events", nil, func(c *call) error {
		var since time.Time
		if text := c.r.URL.Query().Get("since"); text != "" {
			var ok bool
			if since, ok = parseISOTime(text); !ok {
				return fault.BadDate(text)
			}
		}
		events, err := s.Tokens.Events(c.ctx(), since)
		if err != nil {
			return err
		}
		c.reply(http.StatusOK, map[string]any{"events": events, "links": map[string]any{
			"self": c.base() + "/v3/OS-REVOKE/events", "next": nil, "previous": nil, // without the query, as Keystone does
		}})
		return nil
	}))
}

// parseISOTime reads the spellings of ISO 8601 that clients of Keystone use: with or without a fraction and an offset, which
// is UTC where it is missing, and a date alone.
func parseISOTime(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
