package catalog

import (
	"context"
	"log/slog"
	"strings"

	"authproxy/keystone"
)

// Build makes the catalog that a token carries: the enabled services with their enabled endpoints. $(name)s and %(name)s in a
// URL stand for a variable, %% for a percent sign. An endpoint whose URL asks for a variable that is not given ("" is not
// given) or is malformed is left out, as in Keystone: one bad endpoint must not keep everybody from logging in.
func (m *Manager) Build(ctx context.Context, variables map[string]string) (keystone.Catalog, error) {
	services, err := m.Store.Services(ctx, nil)
	if err != nil {
		return nil, err
	}
	endpoints, err := m.Store.Endpoints(ctx, nil)
	if err != nil {
		return nil, err
	}
	byService := make(map[string][]keystone.Endpoint, len(services))
	for _, e := range endpoints {
		if !e.Enabled {
			continue
		}
		url, ok := expand(e.URL, func(name string) string {
			if v := variables[name]; v != "" {
				return v
			}
			return m.Variables[name]
		})
		if !ok {
			m.log().DebugContext(ctx, "endpoint left out of the catalog: its URL cannot be filled in",
				slog.String("endpoint_id", e.ID), slog.String("url", e.URL))
			continue
		}
		byService[e.ServiceID] = append(byService[e.ServiceID], keystone.Endpoint{
			ID: e.ID, Interface: e.Interface, Region: e.RegionID, RegionID: e.RegionID, URL: url,
		})
	}
	catalog := keystone.Catalog{}
	for _, s := range services {
		if s.Enabled {
			catalog = append(catalog, keystone.Service{ID: s.ID, Type: s.Type, Name: s.Name(), Endpoints: byService[s.ID]})
		}
	}
	if m.WithoutIDs {
		for i := range catalog {
			catalog[i].ID = ""
			for j := range catalog[i].Endpoints {
				catalog[i].Endpoints[j].ID = ""
			}
		}
	}
	return catalog, nil
}

// expand fills in the variables of a URL and reports whether it could.
func expand(url string, variable func(name string) string) (string, bool) {
	url = strings.ReplaceAll(url, "$(", "%(")
	var b strings.Builder
	for {
		before, after, more := strings.Cut(url, "%")
		b.WriteString(before)
		if !more {
			return b.String(), true
		}
		if rest, escaped := strings.CutPrefix(after, "%"); escaped {
			b.WriteByte('%')
			url = rest
			continue
		}
		name, rest, closed := strings.Cut(strings.TrimPrefix(after, "("), ")s")
		value := variable(name)
		if !strings.HasPrefix(after, "(") || !closed || value == "" {
			return "", false
		}
		b.WriteString(value)
		url = rest
	}
}
