package client

type named struct {
	ID     string `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
	Domain *named `json:"domain,omitempty"`
	// Password is for a user only, User and Secret for an application credential.
	Password string `json:"password,omitempty"`
	User     *named `json:"user,omitempty"`
	Secret   string `json:"secret,omitempty"`
}

// loginBody is the request body of POST /v3/auth/tokens.
type loginBody struct {
	Auth struct {
		Identity struct {
			Methods               []string      `json:"methods"`
			Password              *passwordPart `json:"password,omitempty"`
			ApplicationCredential *named        `json:"application_credential,omitempty"`
		} `json:"identity"`
		Scope *scope `json:"scope,omitempty"`
	} `json:"auth"`
}

type passwordPart struct {
	User named `json:"user"`
}

type scope struct {
	Project *named  `json:"project,omitempty"`
	Domain  *named  `json:"domain,omitempty"`
	System  *system `json:"system,omitempty"`
	Trust   *named  `json:"OS-TRUST:trust,omitempty"`
}

type system struct {
	All bool `json:"all"`
}

// pick is an object's id, or its name with the domain that makes it unique.
func pick(id, name, domainID, domainName string) *named {
	switch {
	case id != "":
		return &named{ID: id}
	case name == "":
		return nil
	}
	return &named{Name: name, Domain: pick(domainID, domainName, "", "")}
}

func (o *Options) loginBody() any {
	var b loginBody
	identity := &b.Auth.Identity
	if o.byApplicationCredential() {
		identity.Methods = []string{"application_credential"}
		identity.ApplicationCredential = pick(o.ApplicationCredentialID, o.ApplicationCredentialName, "", "")
		identity.ApplicationCredential.Secret = o.ApplicationCredentialSecret
		if o.ApplicationCredentialID == "" {
			identity.ApplicationCredential.User = pick(o.UserID, o.Username, o.UserDomainID, o.UserDomainName)
		}
		return b
	}
	identity.Methods = []string{"password"}
	identity.Password = &passwordPart{*pick(o.UserID, o.Username, o.UserDomainID, o.UserDomainName)}
	identity.Password.User.Password = o.Password
	s := scope{Project: pick(o.ProjectID, o.ProjectName, o.ProjectDomainID, o.ProjectDomainName), Domain: pick(o.DomainID, o.DomainName, "", ""),
		Trust: pick(o.TrustID, "", "", "")}
	if o.SystemScope != "" {
		s.System = &system{All: true}
	}
	if s != (scope{}) {
		b.Auth.Scope = &s
	}
	return b
}

// loginBodyV2 is the request body of POST /v2.0/tokens.
type loginBodyV2 struct {
	Auth struct {
		PasswordCredentials struct {
			UserID   string `json:"userId,omitempty"`
			Username string `json:"username,omitempty"`
			Password string `json:"password"`
		} `json:"passwordCredentials"`
		TenantID   string `json:"tenantId,omitempty"`
		TenantName string `json:"tenantName,omitempty"`
		TrustID    string `json:"trust_id,omitempty"`
	} `json:"auth"`
}

func (o *Options) loginBodyV2() any {
	var b loginBodyV2
	who := &b.Auth.PasswordCredentials
	if who.UserID = o.UserID; o.UserID == "" {
		who.Username = o.Username
	}
	who.Password = o.Password
	if b.Auth.TenantID = o.ProjectID; o.ProjectID == "" {
		b.Auth.TenantName = o.ProjectName
	}
	b.Auth.TrustID = o.TrustID
	return b
}
