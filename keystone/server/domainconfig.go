package server

import (
	"log/slog"
	"net/http"

	"authproxy/keystone/server/domainconfig"
	"authproxy/keystone/server/fault"
)

// domainConfigRoutes are the settings of single domains, which nothing reads here.
func (s *Server) domainConfigRoutes(r routes) {
	const all = "/v3/domains/{domain_id}/config"
	domains := s.domains()
	for _, path := range []string{all, all + "/{group}", all + "/{group}/{option}"} {
		r.on("GET HEAD", path, protect("identity:get_domain_config", domains.inPath("domain_id"), getDomainConfig))
		r.on("PATCH", path, protect("identity:update_domain_config", domains.inPath("domain_id"), updateDomainConfig))
		r.on("DELETE", path, protect("identity:delete_domain_config", domains.inPath("domain_id"), func(c *call) error {
			c.object = c.param("domain_id")
			if err := s.DomainConfig.Delete(c.ctx(), c.configPart()); err != nil {
				return err
			}
			return c.done()
		}))
	}
	r.on("PUT", all, protect("identity:create_domain_config", domains.inPath("domain_id"), createDomainConfig))
	if !s.Later {
		return
	}
	const standard = "/v3/domains/config"
	for _, path := range []string{standard + "/default", standard + "/{group}/default", standard + "/{group}/{option}/default"} {
		r.on("GET HEAD", path, protect("identity:get_domain_config_default", nil, func(c *call) error {
			p := c.configPart()
			config, err := domainconfig.Standard(p)
			if err != nil {
				return err
			}
			c.replyConfig(http.StatusOK, p, config)
			return nil
		}))
	}
}

// configPart is the part of the settings that the path names.
func (c *call) configPart() domainconfig.Part {
	return domainconfig.Part{DomainID: c.param("domain_id"), Group: c.param("group"), Option: c.param("option")}
}

// configIn is the settings in the body. Those of a single option stand there without the group around them.
func (c *call) configIn(p domainconfig.Part) (domainconfig.Config, error) {
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	o, ok := body.member("config")
	if !ok {
		return nil, fault.Missing("config", "request body")
	}
	if p.Option != "" {
		return domainconfig.Config{p.Group: o}, nil
	}
	config := domainconfig.Config{}
	for group, value := range o {
		config[group], _ = value.(map[string]any) // none at all is refused with the groups that have no options
	}
	return config, nil
}

func (c *call) replyConfig(status int, p domainconfig.Part, config domainconfig.Config) {
	var body any = config
	if p.Option != "" {
		body = config[p.Group]
	}
	c.reply(status, map[string]any{"config": body})
}

func getDomainConfig(c *call) error {
	p := c.configPart()
	config, err := c.s.DomainConfig.Config(c.ctx(), p)
	if err != nil {
		return err
	}
	c.replyConfig(http.StatusOK, p, config)
	return nil
}

func createDomainConfig(c *call) error {
	p := c.configPart()
	c.object = p.DomainID
	config, err := c.configIn(p)
	if err != nil {
		return err
	}
	shown, before, err := c.s.DomainConfig.Replace(c.ctx(), p.DomainID, config)
	if err != nil {
		return err
	}
	c.sayUnread()
	status := http.StatusCreated
	if before {
		status = http.StatusOK
	}
	c.replyConfig(status, p, shown)
	return nil
}

// updateDomainConfig answers with all settings of the domain.
func updateDomainConfig(c *call) error {
	p := c.configPart()
	c.object = p.DomainID
	config, err := c.configIn(p)
	if err != nil {
		return err
	}
	shown, err := c.s.DomainConfig.Update(c.ctx(), p, config)
	if err != nil {
		return err
	}
	c.sayUnread()
	c.replyConfig(http.StatusOK, domainconfig.Part{}, shown)
	return nil
}

func (c *call) sayUnread() {
	c.s.log().Warn("the configuration of a single domain is kept, but no driver reads it: its users stay in the database",
		slog.String("domain_id", c.param("domain_id")), slog.String("request_id", c.id))
}
