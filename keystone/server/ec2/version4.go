package ec2

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	algorithm4 = "AWS4-HMAC-SHA256"
	basicTime  = "20060102T150405Z"
)

// authorization is what a request of version 4 says of its signature, in a header or in its parameters.
type authorization struct {
	access, date, region, service string
	headers                       []string
	time                          string
}

func (r Request) header(name string) string {
	for other, value := range r.Headers {
		if strings.EqualFold(other, name) {
			return value
		}
	}
	return ""
}

func (r Request) isVersion4() bool {
	return r.Params["X-Amz-Algorithm"] != "" || strings.HasPrefix(r.header("Authorization"), algorithm4)
}

// version4 signs verb, path, parameters, the headers that it names and the hash of the body, with a key of the day.
func (r Request) version4() (signer, error) {
	a, err := r.authorization()
	if err != nil {
		return signer{}, err
	}
	at, err := parseTime(a.time)
	switch {
	case err != nil:
		return signer{}, err
	case a.date != at.UTC().Format("20060102"):
		return signer{}, errors.New("the day of the key is not that of the time")
	case a.access != r.Access:
		return signer{}, errors.New("signed for another access key than the one named")
	case !slices.Contains(a.headers, "host"):
		return signer{}, errors.New("the header Host is not signed")
	}
	scope := []string{a.date, a.region, a.service, "aws4_request"}
	return signer{at, func(secret, host string) string {
		var headers strings.Builder
		for _, name := range a.headers {
			value := host
			if name != "host" {
				value = strings.Join(strings.Fields(r.header(name)), " ")
			}
			headers.WriteString(name + ":" + value + "\n")
		}
		query := r.query()
		if strings.EqualFold(r.Verb, "POST") { // its parameters are in the body, whose hash is signed
			query = ""
		}
		canonical := strings.Join([]string{strings.ToUpper(r.Verb), r.Path, query, headers.String(), strings.Join(a.headers, ";"), r.BodyHash}, "\n")
		text := strings.Join([]string{algorithm4, a.time, strings.Join(scope, "/"), hexSHA256(canonical)}, "\n")
		return hex.EncodeToString(digest(sha256.New, dayKey(secret, scope), text))
	}}, nil
}

// authorization reads the header Authorization, or the parameters where the algorithm is named there.
func (r Request) authorization() (authorization, error) {
	credential, headers, at := r.Params["X-Amz-Credential"], r.Params["X-Amz-SignedHeaders"], r.Params["X-Amz-Date"]
	algorithm, rest, inHeader := strings.Cut(r.header("Authorization"), " ")
	switch {
	case r.Params["X-Amz-Algorithm"] != "" && inHeader:
		return authorization{}, errors.New("signed in a header and in the parameters")
	case inHeader:
		of := map[string]string{}
		for piece := range strings.SplitSeq(rest, ",") {
			name, value, found := strings.Cut(strings.TrimSpace(piece), "=")
			if _, twice := of[name]; twice || !found {
				return authorization{}, errors.New("header Authorization is not a list of different name=value")
			}
			of[name] = value
		}
		credential, headers, at = of["Credential"], of["SignedHeaders"], r.header("X-Amz-Date")
	default:
		algorithm = r.Params["X-Amz-Algorithm"]
	}
	if algorithm != algorithm4 {
		return authorization{}, fmt.Errorf("algorithm %.40q is not %s", algorithm, algorithm4)
	}
	scope := strings.Split(credential, "/")
	if len(scope) < 5 || scope[len(scope)-1] != "aws4_request" {
		return authorization{}, errors.New("the credential of the signature is not KEY/DAY/REGION/SERVICE/aws4_request")
	}
	n := len(scope)
	a := authorization{access: strings.Join(scope[:n-4], "/"), date: scope[n-4], region: scope[n-3], service: scope[n-2], time: at}
	for name := range strings.SplitSeq(strings.ToLower(headers), ";") {
		a.headers = append(a.headers, name)
	}
	return a, nil
}
