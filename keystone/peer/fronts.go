package peer

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Fronts are the peers that are trusted to say who sends a request: any of these. The zero Fronts are nobody.
type Fronts struct {
	Networks []netip.Prefix
	// UnixSocket trusts whoever can connect to a listener on a unix socket.
	UnixSocket bool
	// Names are DNS names or URIs in the verified client certificate of the connection.
	Names []string
}

// ParseFronts reads peers, each an address, a network as CIDR, or "unix", and the names of client certificates.
func ParseFronts(peers, names []string) (Fronts, error) {
	var f Fronts
	for _, text := range peers {
		if text == "unix" {
			f.UnixSocket = true
			continue
		}
		network, err := parseNetwork(text)
		if err != nil {
			return Fronts{}, err
		}
		f.Networks = append(f.Networks, network)
	}
	for _, name := range names {
		if strings.ContainsAny(name, " *,") {
			return Fronts{}, fmt.Errorf("%q: write one DNS name or one URI, in full", name)
		}
	}
	f.Names = names
	return f, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, fmt.Errorf("%q is neither an address, nor a network such as 192.0.2.0/24, nor the word unix", text)
	case p.Addr().Is4In6():
		return p, fmt.Errorf("%q: write IPv4 networks as such", text)
	case p.Masked() != p:
		return p, fmt.Errorf("%q has bits beyond its length; the network is %s", text, p.Masked())
	case p.Bits() == 0:
		return p, fmt.Errorf("%q is everybody: every client could say who it is", text)
	}
	return p, nil
}

// Trust says whether a request comes from one of the fronts.
func (f Fronts) Trust(r *http.Request) bool {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return f.UnixSocket
	}
	if remote, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && f.Contains(remote.Addr()) {
		return true
	}
	return len(f.Names) > 0 && f.named(r)
}

// Contains says whether an address is in one of the networks.
func (f Fronts) Contains(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(f.Networks, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func (f Fronts) named(r *http.Request) bool {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return false
	}
	certificate := r.TLS.PeerCertificates[0]
	for _, name := range f.Names {
		if slices.ContainsFunc(certificate.DNSNames, func(n string) bool { return strings.EqualFold(n, name) }) {
			return true
		}
		for _, uri := range certificate.URIs {
			if uri.String() == name {
				return true
			}
		}
	}
	return false
}
