package server

import (
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gorilla/mux"
)

// A JSON home document (draft-nottingham-json-home-03) tells clients by names of relations where things are. It is made of the
// routes that a listener has, so what is switched off is not in it.

const (
	homeType = "application/json-home"
	// homeRoot is where the names of relations and of variables begin.
	homeRoot = "http://docs.openstack.org/api/openstack-identity/3/"
)

// homeNames are the relations that are not named after the words of their path, by path.
var homeNames = map[string]string{
	"/users/{user_id}/password":   "user_change_password",
	"/auth/tokens/OS-PKI/revoked": "revocations",
	"/OS-SIMPLE-CERT/ca":          "ca_certificate",

	"/domains/{domain_id}/config/{group}":          "domain_config_group",
	"/domains/{domain_id}/config/{group}/{option}": "domain_config_option",
	"/domains/config/default":                      "domain_config_default",
	"/domains/config/{group}/default":              "domain_config_default_group",
	"/domains/config/{group}/{option}/default":     "domain_config_default_option",

	"/OS-OAUTH1/request_token":                "request_tokens",
	"/OS-OAUTH1/access_token":                 "access_tokens",
	"/OS-OAUTH1/authorize/{request_token_id}": "authorize_request_token",

	"/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints/{endpoint_id}":                   "endpoint_policy_association",
	"/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}":                     "service_policy_association",
	"/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}/regions/{region_id}": "region_and_service_policy_association",

	"/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects/{project_id}": "endpoint_group_to_project_association",
	"/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects":              "projects_associated_with_endpoint_group",
	"/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/endpoints":             "endpoints_in_endpoint_group",
}

// homeExtensions are those whose alias is not in the path.
var homeExtensions = map[string]string{"/ec2tokens": "OS-EC2", "/s3tokens": "s3tokens"}

// homeParams are the variables that have another name in the document.
var homeParams = map[string]string{"group": "config_group", "option": "config_option", "identity_provider": "idp_id", "protocol": "protocol_id"}

// homeExperimental are the relations that Kilo says may yet change.
var homeExperimental = []string{"domain_config", "domain_config_group", "domain_config_option"}

// coreParams are the variables that are the same in extensions.
var coreParams = []string{"domain_id", "project_id", "user_id", "group_id", "role_id", "service_id", "endpoint_id", "region_id", "policy_id",
	"config_group", "config_option"}

// homeResource is where one thing is.
type homeResource struct {
	Href         string            `json:"href,omitempty"`
	HrefTemplate string            `json:"href-template,omitempty"`
	HrefVars     map[string]string `json:"href-vars,omitempty"`
	Hints        map[string]string `json:"hints,omitempty"`
}

// orHome answers with the JSON home document where the client prefers that, else as h does. prefix is what paths in it begin with.
// The document is made of the routes that there are when it is first asked for.
func orHome(r *mux.Router, prefix string, h handler) handler {
	document := sync.OnceValues(func() ([]byte, error) {
		resources := map[string]homeResource{}
		err := r.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
			path, err := route.GetPathTemplate()
			if below, ok := strings.CutPrefix(path, "/v3"); ok && below != "" {
				rel, resource := relation(below, prefix)
				resources[rel] = resource
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		return json.Marshal(map[string]any{"resources": resources})
	})
	return func(c *call) error {
		if !prefersHome(c.r.Header) {
			return h(c)
		}
		text, err := document()
		if err != nil {
			return err
		}
		c.replyBytes(http.StatusOK, homeType, text)
		return nil
	}
}

// prefersHome says whether a request names the type of the document and does not like application/json better.
func prefersHome(h http.Header) bool {
	quality := map[string]float64{}
	for _, line := range h.Values("Accept") {
		for one := range strings.SplitSeq(line, ",") {
			kind, params, err := mime.ParseMediaType(one)
			if err != nil {
				continue
			}
			q := 1.0
			if text, ok := params["q"]; ok {
				if q, err = strconv.ParseFloat(text, 64); err != nil {
					continue
				}
			}
			quality[kind] = q
		}
	}
	return quality[homeType] > 0 && quality[homeType] >= quality["application/json"]
}

// relation names what is at a path of v3, and says where that is: /users/{id}/projects is user_projects.
func relation(path, prefix string) (rel string, resource homeResource) {
	var words, pieces []string
	extension, before, vars := homeExtensions[path], "", map[string]string{}
	for piece := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		name, isVar := strings.CutPrefix(piece, "{")
		switch {
		case isVar:
			if name = strings.TrimSuffix(name, "}"); name == "id" {
				name = idOf(before)
			}
			piece = "{" + name + "}"
			vars[name] = ""
			if n := len(words) - 1; n >= 0 {
				words[n] = singular(words[n])
			}
		case strings.HasPrefix(piece, "OS-"):
			extension = piece
		default:
			words, before = append(words, piece), piece
		}
		pieces = append(pieces, piece)
	}
	path = "/" + strings.Join(pieces, "/")
	rel, ok := homeNames[path]
	if !ok {
		rel = strings.Join(words, "_")
	}
	root := homeRoot
	if extension != "" {
		root += "ext/" + extension + "/1.0/"
	}
	if len(vars) == 0 {
		return root + "rel/" + rel, homeResource{Href: prefix + path}
	}
	for name := range vars {
		param := name
		if other, ok := homeParams[name]; ok {
			param = other
		}
		at := homeRoot
		if !slices.Contains(coreParams, param) {
			at = root
		}
		vars[name] = at + "param/" + param
	}
	resource = homeResource{HrefTemplate: prefix + path, HrefVars: vars}
	if slices.Contains(homeExperimental, rel) {
		resource.Hints = map[string]string{"status": "experimental"}
	}
	return root + "rel/" + rel, resource
}
