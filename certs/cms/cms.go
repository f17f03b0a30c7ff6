// Package cms reads and writes the one form of Cryptographic Message Syntax (RFC 5652) that Keystone signs tokens and
// revocation lists with: SignedData with one signer, the content inside, no certificates and no attributes, as
//
//	openssl cms -sign -nosmimecap -nodetach -nocerts -noattr
//
// makes it. Nothing else is accepted, and every accepted message has exactly one spelling: what Parse takes,
// SignedData.Append gives back byte for byte. General readers take hundreds of spellings of one message, and a token that
// can be spelled in a second way escapes a revocation list that knows the first one by its hash (CVE-2015-7546).
package cms

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
)

// ErrMalformed says that bytes are not a message in the one form that this package knows.
var ErrMalformed = errors.New("not a CMS SignedData in Keystone's form")

// Algorithm is a signature algorithm.
type Algorithm uint8

const (
	// RSA is RSASSA-PKCS1-v1_5 (RFC 8017, 8.2), named rsaEncryption in the message as openssl does.
	RSA Algorithm = iota + 1
	// ECDSA is ECDSA over a NIST curve (RFC 5753, 2.1), named ecdsa-with-SHA… in the message.
	ECDSA
)

func (a Algorithm) String() string {
	switch a {
	case RSA:
		return "RSA"
	case ECDSA:
		return "ECDSA"
	}
	return fmt.Sprintf("Algorithm(%d)", uint8(a))
}

// SignedData is a parsed message. Its slices alias what Parse was given. Nothing in it is to be believed before the
// signature is checked against a key that the caller had beforehand.
type SignedData struct {
	// Hash is the digestAlgorithm: SHA-1, SHA-256, SHA-384 or SHA-512. Whether SHA-1 may count is the caller's policy.
	Hash      crypto.Hash
	Algorithm Algorithm
	// Issuer is the DER of the issuer Name in the signer identifier, comparable to x509.Certificate.RawIssuer.
	Issuer []byte
	// SerialNumber holds the content octets of the serial number INTEGER: big-endian, positive, minimal.
	SerialNumber []byte
	// Content is the eContent: what is signed.
	Content []byte
	// Signature is the raw RSA signature, or the DER of Ecdsa-Sig-Value.
	Signature []byte
}

// DER tags that occur in the form.
const (
	tagInteger          = 0x02
	tagOctetString      = 0x04
	tagObjectIdentifier = 0x06
	tagUTF8String       = 0x0c
	tagBMPString        = 0x1e
	tagSequence         = 0x30
	tagSet              = 0x31
	tagContext0         = 0xa0
)

// Fixed pieces of the form, as DER.
var (
	oidSignedData = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02}
	oidData       = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01}
	version1      = []byte{tagInteger, 0x01, 0x01}
	rsaEncryption = []byte{tagSequence, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00}
)

// digests names each digest algorithm as it stands in the message: the AlgorithmIdentifier without parameters
// (RFC 5754, 2), and the ecdsa-with-… identifier that goes with it (RFC 5754, 3.3; RFC 3279, 2.2.3 for SHA-1).
var digests = []struct {
	hash  crypto.Hash
	der   []byte
	ecdsa []byte
}{
	{crypto.SHA256,
		[]byte{tagSequence, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01},
		[]byte{tagSequence, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}},
	{crypto.SHA384,
		[]byte{tagSequence, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02},
		[]byte{tagSequence, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03}},
	{crypto.SHA512,
		[]byte{tagSequence, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03},
		[]byte{tagSequence, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04}},
	{crypto.SHA1,
		[]byte{tagSequence, 0x07, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a},
		[]byte{tagSequence, 0x09, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01}},
}

// Parse reads one DER message. It walks the bytes once, allocates nothing on the way to success, and does not recurse, so
// that neither size nor nesting of hostile input costs more than its length. Errors wrap ErrMalformed.
func Parse(der []byte) (SignedData, error) {
	var sd SignedData

	// ContentInfo ::= SEQUENCE { contentType signedData, content [0] EXPLICIT SignedData }
	contentInfo := reader(der)
	body := contentInfo.enter(tagSequence)
	contentInfo.end("bytes after the message")
	body.expect(oidSignedData, "content type is not signedData")
	explicit := body.enter(tagContext0)
	body.end("bytes after the content")
	signed := explicit.enter(tagSequence)
	explicit.end("bytes after SignedData")

	// SignedData ::= SEQUENCE { version 1, digestAlgorithms SET OF, encapContentInfo, signerInfos SET OF }
	signed.expect(version1, "SignedData version is not 1")
	digestSet := signed.enter(tagSet)
	digest := digestSet.digest()
	digestSet.end("more than one digest algorithm")

	encap := signed.enter(tagSequence)
	encap.expect(oidData, "eContentType is not data")
	econtent := encap.enter(tagContext0)
	encap.end("bytes after eContent")
	content := econtent.enter(tagOctetString)
	econtent.end("bytes after the content octets")

	signers := signed.enter(tagSet)
	signed.end("bytes after signerInfos")
	signer := signers.enter(tagSequence)
	signers.end("more than one signer")

	// SignerInfo ::= SEQUENCE { version 1, sid issuerAndSerialNumber, digestAlgorithm, signatureAlgorithm, signature }
	signer.expect(version1, "SignerInfo version is not 1")
	sid := signer.enter(tagSequence)
	issuerStart := sid.in
	issuer := sid.enter(tagSequence)
	issuerDER := issuerStart[:len(issuerStart)-len(sid.in)]
	serial := sid.enter(tagInteger)
	sid.end("bytes after the serial number")
	signerDigest := signer.digest()
	algorithm := signer.algorithm(signerDigest)
	signature := signer.enter(tagOctetString)
	signer.end("unsigned attributes or bytes after the signature")

	for _, r := range []*parser{&contentInfo, &body, &explicit, &signed, &digestSet, &encap, &econtent, &content, &signers, &signer, &sid, &issuer, &serial, &signature} {
		if r.failed != "" {
			return SignedData{}, fmt.Errorf("%w: %s", ErrMalformed, r.failed)
		}
	}
	switch {
	case digest != signerDigest:
		return SignedData{}, fmt.Errorf("%w: two digest algorithms named", ErrMalformed)
	case !minimalPositive(serial.in):
		return SignedData{}, fmt.Errorf("%w: serial number is negative or not minimal", ErrMalformed)
	case !validName(issuer.in):
		return SignedData{}, fmt.Errorf("%w: issuer is not a Name", ErrMalformed)
	case algorithm == ECDSA && !validECDSASignature(signature.in):
		return SignedData{}, fmt.Errorf("%w: ECDSA signature is not DER", ErrMalformed)
	}
	sd = SignedData{
		Hash: digests[digest].hash, Algorithm: algorithm,
		Issuer: issuerDER, SerialNumber: serial.in, Content: content.in, Signature: signature.in,
	}
	return sd, nil
}

// parser walks the inside of one DER element. The first thing that is wrong sets failed; after that every step is a no-op
// that yields failed parsers, so that Parse can be read top to bottom and asks once at the end.
type parser struct {
	in     []byte
	failed string
}

func reader(in []byte) parser { return parser{in: in} }

// enter takes one element with the tag and gives its inside.
func (r *parser) enter(tag byte) parser {
	if r.failed != "" {
		return parser{failed: r.failed}
	}
	inside, rest, problem := element(r.in, tag)
	if problem != "" {
		r.failed = problem
		return parser{failed: problem}
	}
	r.in = rest
	return parser{in: inside}
}

// expect takes exactly these bytes.
func (r *parser) expect(der []byte, problem string) {
	if r.failed != "" {
		return
	}
	if !bytes.HasPrefix(r.in, der) {
		r.failed = problem
		return
	}
	r.in = r.in[len(der):]
}

func (r *parser) end(problem string) {
	if r.failed == "" && len(r.in) != 0 {
		r.failed = problem
	}
}

// digest takes one digest AlgorithmIdentifier and gives its index in digests.
func (r *parser) digest() int {
	for i := range digests {
		if bytes.HasPrefix(r.in, digests[i].der) {
			r.in = r.in[len(digests[i].der):]
			return i
		}
	}
	if r.failed == "" {
		r.failed = "digest algorithm is not SHA-256, SHA-384, SHA-512 or SHA-1, without parameters"
	}
	return 0
}

func (r *parser) algorithm(digest int) Algorithm {
	if bytes.HasPrefix(r.in, rsaEncryption) {
		r.in = r.in[len(rsaEncryption):]
		return RSA
	}
	if id := digests[digest].ecdsa; bytes.HasPrefix(r.in, id) {
		r.in = r.in[len(id):]
		return ECDSA
	}
	if r.failed == "" {
		r.failed = "signature algorithm is neither rsaEncryption nor ECDSA with the digest named"
	}
	return 0
}

// element splits one DER element (X.690, 8.1 and 10.1) off in: low tag number, definite length in the fewest octets.
func element(in []byte, tag byte) (inside, rest []byte, problem string) {
	if len(in) < 2 {
		return nil, nil, "truncated"
	}
	if in[0] != tag {
		return nil, nil, "unexpected tag"
	}
	length, header := int(in[1]), 2
	if length >= 0x80 {
		octets := length - 0x80
		switch {
		case octets == 0:
			return nil, nil, "indefinite length (BER)"
		case octets > 4: // 4 GiB is beyond every limit above this package
			return nil, nil, "length too large"
		case len(in) < 2+octets:
			return nil, nil, "truncated"
		}
		length = 0
		for _, b := range in[2 : 2+octets] {
			length = length<<8 | int(b)
		}
		header += octets
		if length < 0x80 || octets > 1 && length < 1<<(8*(octets-1)) {
			return nil, nil, "length not minimal"
		}
	}
	if len(in)-header < length {
		return nil, nil, "truncated"
	}
	return in[header : header+length], in[header+length:], ""
}

// minimalPositive says whether the content octets of an INTEGER are a non-negative number in the fewest octets (X.690, 8.3.2).
func minimalPositive(octets []byte) bool {
	switch {
	case len(octets) == 0, octets[0] >= 0x80:
		return false
	case len(octets) > 1 && octets[0] == 0:
		return octets[1] >= 0x80
	}
	return true
}

// validName walks the inside of Name ::= SEQUENCE OF SET OF SEQUENCE { type OBJECT IDENTIFIER, value } (RFC 5280, 4.1.2.4),
// whose values are strings of one of the primitive types.
func validName(inside []byte) bool {
	for len(inside) > 0 {
		rdn, rest, problem := element(inside, tagSet)
		if problem != "" || len(rdn) == 0 {
			return false
		}
		inside = rest
		for len(rdn) > 0 {
			pair, rest, problem := element(rdn, tagSequence)
			if problem != "" {
				return false
			}
			rdn = rest
			oid, value, problem := element(pair, tagObjectIdentifier)
			if problem != "" || len(oid) == 0 || len(value) == 0 {
				return false
			}
			// UTF8String, NumericString, PrintableString, T61String, IA5String, …: universal, primitive, low tag number
			if tag := value[0]; tag < tagUTF8String || tag > tagBMPString || tag&0x20 != 0 {
				return false
			}
			if _, rest, problem := element(value, value[0]); problem != "" || len(rest) != 0 {
				return false
			}
		}
	}
	return true
}

// Append appends the one DER spelling of sd to dst.
func (sd *SignedData) Append(dst []byte) []byte {
	d := 0
	for i := range digests {
		if digests[i].hash == sd.Hash {
			d = i
		}
	}
	digest, algorithm := digests[d].der, rsaEncryption
	if sd.Algorithm == ECDSA {
		algorithm = digests[d].ecdsa
	}
	// Sizes from the inside out, so that the bytes can be written in one go from the outside in.
	sid := len(sd.Issuer) + size(len(sd.SerialNumber))
	signer := len(version1) + size(sid) + len(digest) + len(algorithm) + size(len(sd.Signature))
	econtent := size(len(sd.Content))
	encap := len(oidData) + size(econtent)
	signed := len(version1) + size(len(digest)) + size(encap) + size(size(signer))
	explicit := size(signed)
	body := len(oidSignedData) + size(explicit)

	dst = header(dst, tagSequence, body)
	dst = append(dst, oidSignedData...)
	dst = header(dst, tagContext0, explicit)
	dst = header(dst, tagSequence, signed)
	dst = append(dst, version1...)
	dst = header(dst, tagSet, len(digest))
	dst = append(dst, digest...)
	dst = header(dst, tagSequence, encap)
	dst = append(dst, oidData...)
	dst = header(dst, tagContext0, econtent)
	dst = header(dst, tagOctetString, len(sd.Content))
	dst = append(dst, sd.Content...)
	dst = header(dst, tagSet, size(signer))
	dst = header(dst, tagSequence, signer)
	dst = append(dst, version1...)
	dst = header(dst, tagSequence, sid)
	dst = append(dst, sd.Issuer...)
	dst = header(dst, tagInteger, len(sd.SerialNumber))
	dst = append(dst, sd.SerialNumber...)
	dst = append(dst, digest...)
	dst = append(dst, algorithm...)
	dst = header(dst, tagOctetString, len(sd.Signature))
	return append(dst, sd.Signature...)
}

// size is what an element with n octets inside takes up.
func size(n int) int {
	switch {
	case n < 0x80:
		return 2 + n
	case n < 1<<8:
		return 3 + n
	case n < 1<<16:
		return 4 + n
	case n < 1<<24:
		return 5 + n
	default:
		return 6 + n
	}
}

// header appends tag and length octets of an element with n octets inside.
func header(dst []byte, tag byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(dst, tag, byte(n))
	case n < 1<<8:
		return append(dst, tag, 0x81, byte(n))
	case n < 1<<16:
		return append(dst, tag, 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		return append(dst, tag, 0x83, byte(n>>16), byte(n>>8), byte(n))
	default:
		return append(dst, tag, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}
