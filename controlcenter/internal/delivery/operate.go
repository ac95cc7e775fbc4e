package delivery

import (
	"context"
	"fmt"
	"sync"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/internal/fault"
	"lockerfleet/locker"
	"lockerfleet/locker/custody"
)

// Cancel takes a statement of delivery back before goods were stored. It is repeated safely: what
// was cancelled is answered as a duplicate. A refusal is a rejection with a reason and is not
// kept, because what is refused now (a courier is at the door) may be possible later.
func (s *Service) Cancel(ctx context.Context, partner locker.PartnerID, ref string) (Decision, error) {
	if err := checkRef(ref); err != nil {
		return Decision{}, err
	}
	k := Kept{
		ID: locker.StatementID(s.ids.New("stm")), Partner: partner, Ref: ref, Kind: KindCancel, Status: Accepted, Body: "{}",
	}
	var d Decision
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		d, err = s.cancel(tx, k)
		return err
	})
	if err != nil {
		return Decision{}, fmt.Errorf("cancel statement %s of %s: %w", ref, partner, err)
	}
	return d, nil
}

func (s *Service) cancel(tx Tx, k Kept) (Decision, error) {
	was, known, err := tx.Statement(k.Partner, KindCancel, k.Ref)
	if err != nil {
		return Decision{}, err
	}
	if known {
		return again(tx, was, was.Hash)
	}
	k.Received = tx.Now()
	p, found, err := tx.ParcelByRef(k.Partner, k.Ref)
	if err != nil {
		return Decision{}, err
	}
	if code, detail := cannotCancel(p, found); code != "" {
		k.Status, k.Code, k.Detail = Rejected, code, detail
		d := decided(k, p)
		d.Statement = ""
		tellDecided(tx, k, d)
		return d, nil
	}
	k.Parcel = p.ID
	if err := s.apply(tx, p, move{to: Cancelled, reason: "partner"}, happened{cause: string(k.ID), at: tx.Now()}, ""); err != nil {
		return Decision{}, err
	}
	d := decided(k, p)
	tellDecided(tx, k, d)
	_, err = tx.InsertStatement(k)
	return d, err
}

// cannotCancel says why a parcel cannot be cancelled, or nothing.
func cannotCancel(p Parcel, found bool) (code, detail string) {
	switch {
	case !found:
		return "parcel_unknown", "No goods were announced under this reference."
	case p.State == Reserved:
		return "", ""
	case p.State == Depositing:
		return "door_open", "The courier has opened the compartment; try again when the door is closed, in case nothing was put in."
	case p.State == Expired, p.State == Cancelled, p.State == Collected:
		return "parcel_over", "The parcel has ended already; there is nothing to cancel."
	}
	return "parcel_stored", "The goods are in the compartment already; they can be collected or recalled, not cancelled."
}

// Outcomes of Resolve: what a person found.
const (
	FoundStored  = "stored"    // the goods are inside and wait for the recipient
	FoundTaken   = "collected" // the recipient has them
	FoundRemoved = "removed"   // the compartment is empty: they never came, or somebody took them out
)

// Resolve ends the doubt about a parcel by what a person found behind the door. The compartment
// is trusted again. It is a fault of kind Conflict when the parcel is not doubtful.
func (s *Service) Resolve(ctx context.Context, id locker.ParcelID, outcome, actor string) (Parcel, error) {
	m, err := resolved(outcome)
	if err != nil {
		return Parcel{}, err
	}
	newGrant, deed := newGrantID(s.ids), s.ids.New("res")
	var p Parcel
	err = s.store.Update(ctx, func(tx Tx) error {
		if p, err = mustParcel(tx, id); err != nil {
			return err
		}
		if p.State != Doubtful {
			return fault.Conflictf("not_doubtful", "Parcel %s is %s; only a doubtful one is decided by a person.", id, p.State)
		}
		if m.taker == "" {
			m.taker = bankName(p.Door.Bank)
		}
		h := happened{cause: deed, at: tx.Now(), evidence: fmt.Sprintf("%s found: %s; doubt was: %s", actor, outcome, p.Reason)}
		if err := trust(tx, p); err != nil { // before the door is given back: what it is then decides anew
			return err
		}
		if err := s.apply(tx, p, m, h, newGrant); err != nil {
			return err
		}
		p, err = mustParcel(tx, id)
		return err
	})
	if err != nil {
		return Parcel{}, fmt.Errorf("resolve parcel %s: %w", id, err)
	}
	return p, nil
}

func resolved(outcome string) (move, error) {
	switch outcome {
	case FoundStored:
		return move{to: Stored, step: custody.StepStored}, nil
	case FoundTaken:
		return move{to: Collected, step: custody.StepCollected, taker: recipientName}, nil
	case FoundRemoved:
		return move{to: Cancelled, reason: "removed", step: custody.StepRecalled, taker: operatorName}, nil
	}
	return move{}, fault.Invalidf("outcome_invalid", "Outcome %.20q: allowed are stored, collected, removed.", outcome).At("outcome")
}

func trust(tx Tx, p Parcel) error {
	changed, err := tx.TrustCompartment(p.Door)
	if err != nil || !changed {
		return err
	}
	tx.Tell(event.ServiceChanged{
		About: p.aboutDoor(string(p.ID), tx.Now()), Service: locker.InService, Reason: "resolved",
	})
	return nil
}

// heldRevs remembers the newest grant revision that each bank was heard to hold, so that a
// heartbeat costs nothing when nothing changed. The zero value is ready. One entry a bank.
type heldRevs struct {
	mu    sync.Mutex
	banks map[locker.BankID]uint64
}

func (h *heldRevs) known(bank locker.BankID, rev uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.banks[bank] >= rev
}

func (h *heldRevs) note(bank locker.BankID, rev uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.banks == nil {
		h.banks = map[locker.BankID]uint64{}
	}
	h.banks[bank] = max(h.banks[bank], rev)
}

// OnGrantsHeld frees doors of ended promises once their bank holds the end of the courier's
// grant. Call it with the grant revision of a birth or heartbeat, when every event up to the head
// of that message is stored: a deposit made before the bank learned of the end is among them.
// It may be called as often as one likes.
func (s *Service) OnGrantsHeld(ctx context.Context, bank locker.BankID, rev uint64) error {
	if s.held.known(bank, rev) {
		return nil
	}
	more, err := s.waits(ctx, bank, rev)
	for more && err == nil {
		more, err = s.releaseSome(ctx, bank, rev)
	}
	if err != nil {
		return fmt.Errorf("release doors of %s: %w", bank, err)
	}
	s.held.note(bank, rev)
	return nil
}

// waits looks whether there is a door to be freed, which there hardly ever is: a fleet that comes
// back asks for every bank, and a look costs no commit.
func (s *Service) waits(ctx context.Context, bank locker.BankID, rev uint64) (some bool, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		waiting, err := tx.Releasable(bank, rev, 1)
		some = len(waiting) > 0
		return err
	})
	return some, err
}

// releaseSome frees a batch of doors and reports whether there may be more.
func (s *Service) releaseSome(ctx context.Context, bank locker.BankID, rev uint64) (more bool, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		waiting, err := tx.Releasable(bank, rev, sweepBatch)
		if err != nil {
			return err
		}
		more = len(waiting) == sweepBatch
		for _, p := range waiting {
			if err := release(tx, p); err != nil {
				return err
			}
		}
		return nil
	})
	return more, err
}
