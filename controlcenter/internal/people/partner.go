package people

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"lockerfleet/internal/fault"
	"lockerfleet/locker"
)

// webhookSecretLen is the length of a webhook secret in bytes (Standard Webhooks: 24 to 64).
const webhookSecretLen = 32

// NewPartner is what makes a partner.
type NewPartner struct {
	ID         locker.PartnerID // a level of its MQTT topics; empty: one is made
	Name       string
	Kind       PartnerKind
	WebhookURL string // empty: none
}

// PartnerChange says what to change; nil fields stay.
type PartnerChange struct {
	Name       *string      `json:"name,omitzero"`
	Kind       *PartnerKind `json:"kind,omitzero"`
	WebhookURL *string      `json:"webhook_url,omitzero"` // empty: no more webhooks
	Disabled   *bool        `json:"disabled,omitzero"`
}

// CreatePartner adds a partner. webhookSecret ("whsec_...", see Standard Webhooks) is shown
// this once; it is made also when there is no address yet.
func (s *Service) CreatePartner(ctx context.Context, by Actor, n NewPartner) (p Partner, webhookSecret string, err error) {
	if err := Allow(by, ManagePartners, ""); err != nil {
		return Partner{}, "", err
	}
	p = Partner{ID: n.ID, Name: n.Name, Kind: n.Kind, WebhookURL: n.WebhookURL}
	if err := errors.Join(checkID("id", string(p.ID)), s.checkPartner(p)); err != nil {
		return Partner{}, "", err
	}
	if p.ID == "" {
		p.ID = locker.PartnerID(s.opts.IDs.New("ptn"))
	}
	shown, sealed, err := s.webhookSecret(ctx, p.ID)
	if err != nil {
		return Partner{}, "", err
	}
	e, err := s.entry(by, "partner.create", "partner/"+string(p.ID), map[string]any{"name": p.Name, "kind": p.Kind, "webhook_url": p.WebhookURL})
	if err != nil {
		return Partner{}, "", err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		p.Created = tx.Now()
		fresh, err := tx.InsertPartner(p, sealed)
		if err != nil {
			return err
		}
		if !fresh {
			return errIDTaken(string(p.ID))
		}
		return note(tx, e)
	})
	s.hooks.forget(p.ID) // it may have been asked for before there was one
	return p, shown, err
}

// UpdatePartner changes a partner.
func (s *Service) UpdatePartner(ctx context.Context, by Actor, id locker.PartnerID, c PartnerChange) (p Partner, err error) {
	if err := Allow(by, ManagePartners, ""); err != nil {
		return Partner{}, err
	}
	e, err := s.entry(by, "partner.update", "partner/"+string(id), c)
	if err != nil {
		return Partner{}, err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		old, err := partner(tx, id)
		if err != nil {
			return err
		}
		p = c.apply(old)
		if err := s.checkPartner(p); err != nil {
			return err
		}
		if err := tx.UpdatePartner(p); err != nil {
			return err
		}
		return note(tx, e)
	})
	if err == nil {
		s.hooks.forget(id)
		s.revoked(KindPartner, string(id))
	}
	return p, err
}

// RenewWebhookSecret makes a new webhook secret, shown this once; the old one is gone.
func (s *Service) RenewWebhookSecret(ctx context.Context, by Actor, id locker.PartnerID) (webhookSecret string, err error) {
	if err := Allow(by, ManagePartners, ""); err != nil {
		return "", err
	}
	shown, sealed, err := s.webhookSecret(ctx, id)
	if err != nil {
		return "", err
	}
	e, err := s.entry(by, "partner.renew_webhook_secret", "partner/"+string(id), nil)
	if err != nil {
		return "", err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		if _, err := partner(tx, id); err != nil {
			return err
		}
		if err := tx.SetWebhookSecret(id, sealed); err != nil {
			return err
		}
		return note(tx, e)
	})
	if err != nil {
		return "", err
	}
	s.hooks.forget(id)
	return shown, nil
}

// Partner answers one partner; a partner may ask for itself.
func (s *Service) Partner(ctx context.Context, by Actor, id locker.PartnerID) (p Partner, err error) {
	action := ReadPartners
	if by.Partner() == id {
		action = ReadOwnPartner
	}
	if err := Allow(by, action, ""); err != nil {
		return Partner{}, err
	}
	err = s.store.View(ctx, func(tx Tx) error {
		p, err = partner(tx, id)
		return err
	})
	return p, err
}

// Partners lists partners by id.
func (s *Service) Partners(ctx context.Context, by Actor, list List) (page []Partner, next string, err error) {
	if err := Allow(by, ReadPartners, ""); err != nil {
		return nil, "", err
	}
	err = s.store.View(ctx, func(tx Tx) error {
		page, next, err = tx.Partners(list.Cursor, pageSize(list.Limit))
		return err
	})
	return page, next, err
}

// Webhook answers where a partner is told and the secret to sign with. ok is false when it
// wants no webhooks, is disabled or is not known. A change made by another process is seen within
// CacheLife. The secret must not be changed.
func (s *Service) Webhook(ctx context.Context, id locker.PartnerID) (url string, secret []byte, ok bool, err error) {
	h, round, found := s.hooks.get(id, s.opts.Now())
	if !found {
		if h, err = s.readHook(ctx, id); err != nil {
			return "", nil, false, err
		}
		h.until = s.opts.Now().Add(CacheLife)
		s.hooks.put(id, round, h)
	}
	return h.url, h.secret, h.wanted, nil
}

func (s *Service) readHook(ctx context.Context, id locker.PartnerID) (h hook, err error) {
	var p Partner
	var sealed string
	err = s.store.View(ctx, func(tx Tx) error {
		var found bool
		p, found, err = tx.Partner(id)
		if h.wanted = err == nil && found && !p.Disabled && p.WebhookURL != ""; !h.wanted {
			return err
		}
		sealed, err = tx.WebhookSecret(id)
		return err
	})
	if err != nil || !h.wanted {
		return hook{}, err
	}
	secrets, err := s.LoadSecrets(ctx)
	if err != nil {
		return hook{}, err
	}
	if h.secret, err = open(secrets.Seal, webhookPlace(id), sealed); err != nil {
		return hook{}, fmt.Errorf("webhook secret of %s: %w", id, err)
	}
	h.url = p.WebhookURL
	return h, nil
}

func webhookPlace(id locker.PartnerID) string { return "webhook_secret/" + string(id) }

// webhookSecret makes a secret, as shown and as kept.
func (s *Service) webhookSecret(ctx context.Context, id locker.PartnerID) (shown, sealed string, err error) {
	secrets, err := s.LoadSecrets(ctx)
	if err != nil {
		return "", "", err
	}
	b, err := s.random(webhookSecretLen + 12)
	if err != nil {
		return "", "", fmt.Errorf("make webhook secret: %w", err)
	}
	secret := b[:webhookSecretLen]
	sealed, err = seal(secrets.Seal, bytes.NewReader(b[webhookSecretLen:]), webhookPlace(id), secret)
	return "whsec_" + base64.StdEncoding.EncodeToString(secret), sealed, err
}

func (c PartnerChange) apply(p Partner) Partner {
	if c.Name != nil {
		p.Name = *c.Name
	}
	if c.Kind != nil {
		p.Kind = *c.Kind
	}
	if c.WebhookURL != nil {
		p.WebhookURL = *c.WebhookURL
	}
	if c.Disabled != nil {
		p.Disabled = *c.Disabled
	}
	return p
}

func (s *Service) checkPartner(p Partner) error {
	var kind, hook error
	if p.Kind != Shop && p.Kind != Carrier {
		kind = fault.Invalidf("bad_partner_kind", "A partner is a shop or a carrier, not %q.", p.Kind).At("kind")
	}
	if p.WebhookURL != "" {
		hook = CheckWebhookURL(p.WebhookURL, s.opts.PlainLoopback)
	}
	return errors.Join(checkName("name", p.Name), kind, hook)
}

func partner(tx Tx, id locker.PartnerID) (Partner, error) {
	p, found, err := tx.Partner(id)
	if err == nil && !found {
		err = errNoPartner(id)
	}
	return p, err
}
