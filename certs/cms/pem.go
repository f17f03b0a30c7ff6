package cms

import (
	"bytes"
	"encoding/base64"
	"fmt"
)

// The armour around a message, as openssl prints it.
const (
	pemBegin  = "-----BEGIN CMS-----\n"
	pemEnd    = "-----END CMS-----\n"
	pemColumn = 64
	pemBytes  = pemColumn / 4 * 3 // in a line
)

// EncodePEM puts der into the armour that openssl prints: lines of 64 characters and a final newline.
func EncodePEM(der []byte) []byte {
	text := make([]byte, base64.StdEncoding.EncodedLen(len(der)))
	base64.StdEncoding.Encode(text, der)
	out := make([]byte, 0, PEMLen(len(der)))
	out = append(out, pemBegin...)
	for len(text) > 0 {
		n := min(pemColumn, len(text))
		out = append(append(out, text[:n]...), '\n')
		text = text[n:]
	}
	return append(out, pemEnd...)
}

// PEMLen is the number of bytes that EncodePEM makes of n bytes of DER.
func PEMLen(n int) int {
	text := base64.StdEncoding.EncodedLen(n)
	return len(pemBegin) + text + (text+pemColumn-1)/pemColumn + len(pemEnd)
}

// DecodePEM takes a message out of its armour. Only the spelling that EncodePEM makes is accepted, with or without the final
// newline, which some files lack. Errors wrap ErrMalformed.
func DecodePEM(text []byte) ([]byte, error) {
	if !bytes.HasPrefix(text, []byte(pemBegin)) {
		return nil, fmt.Errorf("%w: does not begin with %q", ErrMalformed, pemBegin[:len(pemBegin)-1])
	}
	body, ok := bytes.CutSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte(pemEnd[:len(pemEnd)-1]))
	if !ok || len(body) < len(pemBegin) {
		return nil, fmt.Errorf("%w: does not end with %q", ErrMalformed, pemEnd[:len(pemEnd)-1])
	}
	body = body[len(pemBegin):]
	if len(body) == 0 {
		return nil, fmt.Errorf("%w: nothing between the armour's lines", ErrMalformed)
	}
	der := make([]byte, 0, (len(body)+pemColumn)/(pemColumn+1)*pemBytes)
	for len(body) > 0 {
		line, rest, ended := bytes.Cut(body, []byte{'\n'})
		// The decoder passes over a carriage return wherever it is.
		if !ended || len(line) == 0 || len(line) > pemColumn || len(rest) > 0 && len(line) != pemColumn || bytes.IndexByte(line, '\r') >= 0 {
			return nil, fmt.Errorf("%w: lines are not of %d characters each", ErrMalformed, pemColumn)
		}
		more, err := base64.StdEncoding.Strict().AppendDecode(der, line)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if len(rest) > 0 && len(more)-len(der) != pemBytes {
			return nil, fmt.Errorf("%w: padding before the last line", ErrMalformed)
		}
		der, body = more, rest
	}
	return der, nil
}
