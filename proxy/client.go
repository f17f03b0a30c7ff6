package proxy

import (
	"net/http"
	"net/netip"
	"strings"
)

// cameFrom gives the address of the peer, "" for a unix socket, and whether what it says in X-Forwarded- headers is believed.
func (h *Handler) cameFrom(r *http.Request) (ip string, trusted bool) {
	ip, trusted = peerOf(r.RemoteAddr)
	if h.ForwardedFrom != nil {
		trusted = h.ForwardedFrom.Trust(r)
	}
	return ip, trusted
}

// clientOf gives the address that the requests of one client have in common, "" where it is not known: that of the peer, or what
// trusted front ends say about theirs. Of IPv6 it is the network, since a host can have any address in it.
func (h *Handler) clientOf(r *http.Request) string {
	ip, trusted := h.cameFrom(r)
	if !trusted {
		return network(ip)
	}
	// From the right: each front end has added whom it got the request from.
	said := r.Header["X-Forwarded-For"]
	for i := len(said) - 1; i >= 0; i-- {
		for list := said[i]; list != ""; {
			comma := strings.LastIndexByte(list, ',')
			hop := strings.Trim(list[comma+1:], " \t")
			list = list[:max(comma, 0)]
			addr, err := parseHop(hop)
			if err != nil {
				return "" // "unknown", or an identifier of the front end's own
			}
			if !h.isFront(addr) {
				return network(hop)
			}
		}
	}
	return ""
}

// isFront says whether an address that a front end tells is that of another one.
func (h *Handler) isFront(addr netip.Addr) bool {
	if h.ForwardedFrom == nil {
		return addr.IsLoopback()
	}
	return h.ForwardedFrom.Contains(addr)
}

// parseHop reads an element of X-Forwarded-For: an address, for some front ends with a port.
func parseHop(text string) (netip.Addr, error) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return addr.Unmap(), nil
	}
	addr, err := netip.ParseAddrPort(text)
	return addr.Addr().Unmap(), err
}

// network is an IPv4 address itself, and the /64 of an IPv6 one.
func network(text string) string {
	if strings.Count(text, ":") == 0 {
		return text
	}
	addr, err := parseHop(text)
	switch {
	case err != nil:
		return text
	case addr.Is4():
		return addr.String()
	}
	p, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return text
	}
	return p.String()
}

// forwardedElement is what this hop adds to Forwarded (RFC 7239, section 4), where a front end has begun it.
func forwardedElement(ip string, encrypted bool) string {
	node, proto := ip, "http"
	if strings.Contains(ip, ":") {
		node = `"[` + ip + `]"`
	}
	if encrypted {
		proto = "https"
	}
	return "for=" + node + ";proto=" + proto
}
