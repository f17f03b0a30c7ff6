package certs

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// attribute is one kind of name attribute that a subject can have. The upper bounds are those of RFC 5280, appendix A.1.
type attribute struct {
	oid asn1.ObjectIdentifier
	max int // characters
	ia5 bool
}

// attributes by lower-case name, in openssl's short and long spellings.
var attributes = map[string]attribute{
	"c": {oid: asn1.ObjectIdentifier{2, 5, 4, 6}, max: 2}, "countryname": {oid: asn1.ObjectIdentifier{2, 5, 4, 6}, max: 2},
	"st": {oid: asn1.ObjectIdentifier{2, 5, 4, 8}, max: 128}, "stateorprovincename": {oid: asn1.ObjectIdentifier{2, 5, 4, 8}, max: 128},
	"l": {oid: asn1.ObjectIdentifier{2, 5, 4, 7}, max: 128}, "localityname": {oid: asn1.ObjectIdentifier{2, 5, 4, 7}, max: 128},
	"o": {oid: asn1.ObjectIdentifier{2, 5, 4, 10}, max: 64}, "organizationname": {oid: asn1.ObjectIdentifier{2, 5, 4, 10}, max: 64},
	"ou": {oid: asn1.ObjectIdentifier{2, 5, 4, 11}, max: 64}, "organizationalunitname": {oid: asn1.ObjectIdentifier{2, 5, 4, 11}, max: 64},
	"cn": {oid: asn1.ObjectIdentifier{2, 5, 4, 3}, max: 64}, "commonname": {oid: asn1.ObjectIdentifier{2, 5, 4, 3}, max: 64},
	"serialnumber": {oid: asn1.ObjectIdentifier{2, 5, 4, 5}, max: 64},
	"emailaddress": {oid: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, max: 255, ia5: true},
	"dc":           {oid: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, max: 255, ia5: true}, // RFC 4519, 2.4
	"uid":          {oid: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, max: 256},
}

// parseSubject reads a name as openssl's -subj takes it: "/C=US/ST=Unset/L=Unset/O=Unset/CN=www.example.com". A backslash
// takes the next character as it is. One attribute to each relative name, in the order given.
func parseSubject(text string) (pkix.RDNSequence, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("subject %q is not UTF-8", text)
	}
	if !strings.HasPrefix(text, "/") {
		return nil, fmt.Errorf("subject %q does not begin with a slash: write it as /C=US/O=Example/CN=www.example.com", text)
	}
	var name pkix.RDNSequence
	for rest := text[1:]; ; {
		part, more, ok := cutPart(rest)
		if !ok {
			return nil, fmt.Errorf("subject %q ends in a lone backslash", text)
		}
		value, err := parseAttribute(part)
		if err != nil {
			return nil, fmt.Errorf("subject %q: %w", text, err)
		}
		name = append(name, pkix.RelativeDistinguishedNameSET{value})
		if more == "" {
			return name, nil
		}
		rest = more[1:]
	}
}

// cutPart takes backslashes out of what stands before the next slash, and returns the rest from that slash on.
func cutPart(s string) (part, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '/':
			return b.String(), s[i:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), "", true
}

func parseAttribute(part string) (pkix.AttributeTypeAndValue, error) {
	var none pkix.AttributeTypeAndValue
	key, value, found := strings.Cut(part, "=")
	if !found {
		return none, fmt.Errorf("%q is not of the form NAME=VALUE", part)
	}
	a, known := attributes[strings.ToLower(key)]
	n := utf8.RuneCountInString(value)
	switch {
	case !known:
		return none, fmt.Errorf("%q is not a known attribute: use C, ST, L, O, OU, CN, serialNumber, emailAddress, DC or UID", key)
	case n == 0:
		return none, fmt.Errorf("%s has no value", key)
	case n > a.max:
		return none, fmt.Errorf("%s has %d characters, more than the %d that are allowed", key, n, a.max)
	case strings.ContainsFunc(value, unicode.IsControl):
		return none, fmt.Errorf("%s contains a control character", key)
	case a.max == 2 && !twoLetters(value):
		return none, fmt.Errorf("%s=%s is not a country code of two letters", key, value)
	case a.ia5 && strings.ContainsFunc(value, func(r rune) bool { return r > unicode.MaxASCII }):
		return none, fmt.Errorf("%s can hold ASCII only", key)
	case a.ia5:
		return pkix.AttributeTypeAndValue{Type: a.oid, Value: asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(value)}}, nil
	default:
		return pkix.AttributeTypeAndValue{Type: a.oid, Value: value}, nil
	}
}

func twoLetters(s string) bool {
	return len(s) == 2 && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
}
