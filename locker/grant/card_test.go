package grant_test

import (
	"testing"
	"time"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
)

func TestCards(t *testing.T) {
	t.Parallel()
	key, door := []byte("key"), locker.CompartmentID{Bank: "hall", No: 4}
	now := time.UnixMilli(1_760_000_000_000)
	ann := grant.Card{Bits: 24, Number: 4711}
	room := grant.Grant{
		ID: "grt-ann", Compartment: door, Purpose: grant.Enter, Digest: grant.DigestOfCard(key, "grt-ann", ann),
		NotBefore: now, NotAfter: now.Add(time.Hour), Openings: 100,
	}
	parcel := grant.Grant{
		ID: "grt-code", Compartment: door, Purpose: grant.Collect, Digest: grant.DigestOf(key, "grt-code", "123456"),
		NotBefore: now, NotAfter: now.Add(time.Hour),
	}
	over := room
	over.ID, over.Revoked = "grt-over", true
	over.Digest = grant.DigestOfCard(key, over.ID, grant.Card{Bits: 24, Number: 9})
	all := []grant.Grant{room, parcel, over}
	for name, tt := range map[string]struct {
		try     grant.Attempt
		want    grant.Reason
		grant   locker.GrantID
		charged int
	}{
		"the card":                    {try: grant.Attempt{Card: ann}, want: grant.OK, grant: "grt-ann"},
		"its number in another width": {try: grant.Attempt{Card: grant.Card{Bits: 32, Number: 4711}}, want: grant.WrongCode},
		"a neighbour":                 {try: grant.Attempt{Card: grant.Card{Bits: 24, Number: 4712}}, want: grant.WrongCode},
		"one taken back":              {try: grant.Attempt{Card: grant.Card{Bits: 24, Number: 9}}, want: grant.Revoked, grant: "grt-over"},
		"its number typed":            {try: grant.Attempt{Code: "4711"}, want: grant.WrongCode, charged: 1},
		"a code beside a card":        {try: grant.Attempt{Code: "123456", Card: grant.Card{Bits: 24, Number: 1}}, want: grant.WrongCode},
		"the code":                    {try: grant.Attempt{Code: "123456"}, want: grant.OK, grant: "grt-code"},
	} {
		tt.try.Compartment = door
		v := grant.Check(all, grant.Throttle{}, key, tt.try, now)
		if v.Reason != tt.want || v.Grant != tt.grant || len(v.Charged) != tt.charged {
			t.Errorf("%s: %+v, want %s of %q, %d charged", name, v, tt.want, tt.grant, tt.charged)
		}
	}
	th := grant.Throttle{Failures: 50}
	v := grant.Check(all, th, key, grant.Attempt{Compartment: door, Card: grant.Card{Bits: 24, Number: 1}}, now)
	if v.RetryAfter != grant.MaxCardDelay {
		t.Errorf("after many wrong cards people wait %v, want %v", v.RetryAfter, grant.MaxCardDelay)
	}
	if v := grant.Check(all, v.Throttle, key, grant.Attempt{Compartment: door, Card: ann}, now.Add(time.Second)); v.Reason != grant.Throttled {
		t.Errorf("the right card inside the wait: %s", v.Reason)
	}
	for card, want := range map[grant.Card]bool{{}: false, ann: true, {Bits: 24, Number: 1 << 24}: false, {Bits: 32, Number: 1 << 24}: true, {Bits: 26, Number: 1}: false} {
		if card.Valid() != want {
			t.Errorf("card of %d bits valid: %v", card.Bits, card.Valid())
		}
	}
}
