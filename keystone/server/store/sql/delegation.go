package sql

import "context"

// removeDelegationsOf removes what users gave to others and were given: those whose id fits a condition with one placeholder.
// What is about a project goes with that by itself.
func (s *Store) removeDelegationsOf(ctx context.Context, condition, arg string) error {
	for _, where := range []string{
		`trusts WHERE trustor_user_id ` + condition,
		`trusts WHERE trustee_user_id ` + condition,
		`credentials WHERE user_id ` + condition,
		`oauth1_request_tokens WHERE user_id ` + condition,
		`oauth1_access_tokens WHERE user_id ` + condition,
	} {
		if _, err := s.exec(ctx, `DELETE FROM `+where, arg); err != nil {
			return err
		}
	}
	return nil
}
