package server

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/tokens"
	"authproxy/keystone/server/trust"
)

const trustsPath = "/v3/OS-TRUST/trusts"

// trustRoutes are the trusts of the extension OS-TRUST. Who may see and delete one is fixed, whatever the policy says beside:
// its two users see it, its trustor deletes it.
func (s *Server) trustRoutes(r routes) {
	if s.Trusts == nil {
		return
	}
	create := guard{action: "identity:create_trust", member: "trust"}
	r.on("POST", trustsPath, create.protect(createTrust))
	r.on("GET HEAD", trustsPath, protect("identity:list_trusts", nil, listTrusts))
	single := trustsPath + "/{trust_id}"
	r.on("GET HEAD", single, protect("identity:get_trust", nil, func(c *call) error {
		t, err := c.ownTrust()
		if err != nil {
			return err
		}
		return c.replyTrust(http.StatusOK, t)
	}))
	r.on("DELETE", single, protect("identity:delete_trust", nil, deleteTrust))
	roles := s.roles()
	r.on("GET HEAD", single+"/roles", protect("identity:list_roles_for_trust", nil, func(c *call) error {
		t, err := c.ownTrust()
		if err != nil {
			return err
		}
		given, err := c.rolesOf(t.RoleIDs)
		if err != nil {
			return err
		}
		roles.replyList(c, given)
		return nil
	}))
	r.on("GET HEAD", single+"/roles/{role_id}", protect("identity:get_role_for_trust", nil, func(c *call) error {
		t, err := c.ownTrust()
		if err != nil {
			return err
		}
		roleID := c.param("role_id")
		if !slices.Contains(t.RoleIDs, roleID) {
			return fault.NotFound{Kind: "role", ID: roleID}
		}
		role, err := s.Assignment.Role(c.ctx(), roleID)
		if err != nil {
			return err
		}
		roles.reply(c, http.StatusOK, role)
		return nil
	}))
}

// delegated says whether the caller's token came by a trust, by OAuth or by an EC2 key. Such tokens are for other services: in this
// one nothing can be done with them that outlives them.
func (c *call) delegated() bool {
	t := c.caller.Token
	return t != nil && (t.Trust != nil || t.OAuth1 != nil || slices.Contains(t.Methods, tokens.EC2Method))
}

// noDelegated keeps delegated tokens from h.
func noDelegated(h handler) handler {
	return func(c *call) error {
		if c.delegated() {
			return fault.Forbidden{Message: "This cannot be done with a token that was delegated."}
		}
		return h(c)
	}
}

// fromTrust is the trust that the caller's token came by, "" for none.
func (c *call) fromTrust() string {
	if c.caller.Token == nil || c.caller.Token.Trust == nil {
		return ""
	}
	return c.caller.Token.Trust.ID
}

// ownTrust is the usable trust in the path, of which the caller must be a user. A token that came by a trust is good for that
// one alone.
func (c *call) ownTrust() (trust.Trust, error) {
	t, err := c.s.Trusts.Trust(c.ctx(), c.param("trust_id"))
	if err != nil || c.caller.Admin {
		return t, err
	}
	switch {
	case c.delegated() && c.fromTrust() != t.ID,
		c.caller.UserID() != t.TrustorUserID && c.caller.UserID() != t.TrusteeUserID:
		return trust.Trust{}, errNotYours
	}
	return t, nil
}

var errNotYours = fault.Forbidden{Message: "You are not authorized to perform the requested action."}

func createTrust(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	o, ok := body.member("trust")
	if !ok {
		return fault.Missing("trust", "request body")
	}
	if c.delegated() && c.fromTrust() == "" {
		return fault.Forbidden{Message: "Redelegation allowed for delegated by trust only"}
	}
	w, err := trustWish(o)
	if err != nil {
		return err
	}
	// This holds without the policy too: nobody gives what is another's. The admin token is no user.
	if w.TrustorUserID != c.caller.UserID() {
		return fault.Forbidden{Message: "The authenticated user should match the trustor."}
	}
	t, err := c.s.Trusts.Create(c.ctx(), w, c.fromTrust())
	if err != nil {
		return err
	}
	c.object = t.ID
	return c.replyTrust(http.StatusCreated, t)
}

var trustFields = []string{"trustor_user_id", "trustee_user_id", "project_id", "impersonation", "roles", "expires_at", "remaining_uses",
	"redelegation_count", "allow_redelegation", "redelegated_trust_id", "deleted_at", "roles_links"}

func trustWish(o object) (trust.Wish, error) {
	f := fields{o: o}
	trustor, trustee, project := f.text("trustor_user_id"), f.text("trustee_user_id"), f.text("project_id")
	impersonation, uses, count := f.boolean("impersonation"), f.integer("remaining_uses"), f.integer("redelegation_count")
	expires := f.instant("expires_at")
	var redelegation *bool
	if o["allow_redelegation"] != nil {
		redelegation = f.boolean("allow_redelegation")
	}
	if f.err != nil {
		return trust.Wish{}, f.err
	}
	for name, there := range map[string]bool{
		"trustor_user_id": orDefault(trustor, "") != "", "trustee_user_id": orDefault(trustee, "") != "", "impersonation": impersonation != nil,
	} {
		if !there {
			return trust.Wish{}, fault.Required(name)
		}
	}
	w := trust.Wish{
		Trust: trust.Trust{
			TrustorUserID: *trustor, TrusteeUserID: *trustee, ProjectID: orDefault(project, ""), Impersonation: *impersonation,
			RemainingUses: uses, ExpiresAt: orDefault(expires, time.Time{}), Extra: o.rest(trustFields...),
		},
		AllowRedelegation: orDefault(redelegation, false),
	}
	if count != nil {
		if *count < 0 || *count > 1<<20 {
			return trust.Wish{}, fault.BadField("redelegation_count", *count)
		}
		n := int(*count)
		w.RedelegationCount = &n
	}
	var err error
	w.Roles, err = roleRefs(o)
	return w, err
}

// roleRefs reads "roles", a list of objects with an id or a name.
func roleRefs(o object) (refs []trust.RoleRef, err error) {
	list, ok := o["roles"].([]any)
	if !ok && o["roles"] != nil {
		return nil, fault.BadField("roles", o["roles"])
	}
	for _, v := range list {
		role, _ := v.(map[string]any)
		f := fields{o: role}
		ref := trust.RoleRef{ID: orDefault(f.text("id"), ""), Name: orDefault(f.text("name"), "")}
		switch {
		case f.err != nil:
			return nil, f.err
		case ref.ID == "" && ref.Name == "":
			return nil, fault.Missing("id or name", "roles")
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// listTrusts is GET /v3/OS-TRUST/trusts: one's own as trustor or trustee, or for administrators those of all whom they administer.
func listTrusts(c *call) error {
	query := c.r.URL.Query()
	trustor, trustee := query.Get("trustor_user_id"), query.Get("trustee_user_id")
	if c.delegated() {
		return errNotYours
	}
	var list []trust.Trust
	if trustor == "" && trustee == "" {
		if err := c.s.Policy.Rule(adminRule).Check(c.ctx(), c.caller, nil); err != nil {
			return err
		}
		all, err := c.s.Trusts.Trusts(c.ctx(), "", "")
		if err == nil {
			list, err = c.administered(all)
		}
		if err != nil {
			return err
		}
	}
	for _, of := range [][2]string{{trustor, ""}, {"", trustee}} {
		userID := of[0] + of[1]
		if userID == "" {
			continue
		}
		if userID != c.caller.UserID() && !c.caller.Admin {
			return errNotYours
		}
		some, err := c.s.Trusts.Trusts(c.ctx(), of[0], of[1])
		if err != nil {
			return err
		}
		for _, t := range some {
			if !slices.ContainsFunc(list, func(have trust.Trust) bool { return have.ID == t.ID }) {
				list = append(list, t)
			}
		}
	}
	list, truncated := bounded(c, "trust", list)
	bodies := make([]map[string]any, 0, len(list))
	for _, t := range list {
		bodies = append(bodies, c.trustBody(t))
	}
	c.replyList("trusts", bodies, truncated)
	return nil
}

// administered are those trusts of a list whose trustors the caller may change. (Keystone shows every administrator all.)
func (c *call) administered(list []trust.Trust) ([]trust.Trust, error) {
	may := map[string]error{}
	var shown []trust.Trust
	for _, t := range list {
		err, known := may[t.TrustorUserID]
		if !known {
			err = c.mayLoginAs(t.TrustorUserID)
			may[t.TrustorUserID] = err
		}
		switch {
		case err == nil:
			shown = append(shown, t)
		case !hidden(err):
			return nil, err
		}
	}
	return shown, nil
}

// hidden says whether an error is that the caller may not see something, or that it is gone.
func hidden(err error) bool {
	_, forbidden := errors.AsType[fault.Forbidden](err)
	return forbidden || fault.IsNotFound(err)
}

// deleteTrust lets the trustor, or an administrator who may change the trustor, take a trust back. One that is used up has tokens yet, so it can be too.
func deleteTrust(c *call) error {
	t, err := c.s.Trusts.Stored(c.ctx(), c.param("trust_id"))
	if err != nil {
		return err
	}
	switch {
	case c.caller.Admin:
	case c.delegated() && c.fromTrust() != t.ID:
		return errNotYours
	case c.caller.UserID() != t.TrustorUserID:
		if c.delegated() || c.s.Policy.Rule(adminRule).Check(c.ctx(), c.caller, nil) != nil {
			return errNotYours
		}
		if err := c.mayLoginAs(t.TrustorUserID); hidden(err) {
			return errNotYours
		} else if err != nil {
			return err
		}
	}
	if err := c.s.Trusts.Delete(c.ctx(), t.ID); err != nil {
		return err
	}
	return c.done()
}

// rolesOf are the roles with those ids that are still there.
func (c *call) rolesOf(roleIDs []string) ([]assignment.Role, error) {
	roles := []assignment.Role{}
	for _, roleID := range roleIDs {
		role, err := c.s.Assignment.Role(c.ctx(), roleID)
		switch {
		case err == nil:
			roles = append(roles, role)
		case !fault.IsNotFound(err):
			return nil, err
		}
	}
	return roles, nil
}

// replyTrust answers with a trust and its roles.
func (c *call) replyTrust(status int, t trust.Trust) error {
	given, err := c.rolesOf(t.RoleIDs)
	if err != nil {
		return err
	}
	res := c.s.roles()
	roles := make([]map[string]any, 0, len(given))
	for _, role := range given {
		roles = append(roles, res.body(c, role))
	}
	body := c.trustBody(t)
	body["roles"] = roles
	body["roles_links"] = map[string]any{"self": c.base() + trustsPath + "/" + t.ID + "/roles", "next": nil, "previous": nil}
	c.reply(status, map[string]any{"trust": body})
	return nil
}

func (c *call) trustBody(t trust.Trust) map[string]any {
	body := maps.Clone(nonNil(t.Extra))
	maps.Copy(body, map[string]any{
		"id": t.ID, "trustor_user_id": t.TrustorUserID, "trustee_user_id": t.TrusteeUserID, "project_id": orNull(t.ProjectID),
		"impersonation": t.Impersonation, "expires_at": timeOrNull(t.ExpiresAt), "remaining_uses": t.RemainingUses, "deleted_at": nil,
		"redelegation_count": t.RedelegationCount, "links": map[string]any{"self": c.base() + trustsPath + "/" + t.ID},
	})
	if t.RedelegatedTrustID != "" {
		body["redelegated_trust_id"] = t.RedelegatedTrustID
	}
	return body
}

// timeOrNull is an instant as the API writes it, null in JSON for the zero time.
func timeOrNull(t time.Time) any {
	return orNull(timeText(t))
}

// timeText is an instant as the API writes it, "" for the zero time.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(tokens.TimeFormat)
}

// integer is a whole number under a name, nil where there is none or null.
func (f *fields) integer(name string) *int64 {
	return keep(f, name, func(name string) (*int64, error) {
		switch v := f.o[name].(type) {
		case nil:
			return nil, nil
		case json.Number:
			if n, err := v.Int64(); err == nil {
				return &n, nil
			}
		}
		return nil, fault.BadField(name, f.o[name])
	})
}

// instant is a time under a name, nil where there is none or null.
func (f *fields) instant(name string) *time.Time {
	return keep(f, name, func(name string) (*time.Time, error) {
		text, err := f.o.text(name)
		if text == nil || err != nil {
			return nil, err
		}
		t, ok := parseISOTime(*text)
		if !ok {
			return nil, fault.BadField(name, *text)
		}
		return &t, nil
	})
}
