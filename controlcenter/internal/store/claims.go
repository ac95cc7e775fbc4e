package store

import (
	"fmt"

	"lockerfleet/controlcenter/internal/event"
	"lockerfleet/controlcenter/internal/fleet"
	"lockerfleet/locker"
)

// What rooms that give doors away do to them, inside transactions of their own. Each is one
// statement that names what must be true, so that of two who want a door one gets it.

const (
	// claimable is what a door must be to be given away. Where nobody has seen it, it is not.
	claimable = `
  AND allocation = 'free' AND service = 'in_service' AND door = 'closed' AND lock_state = 'locked'
  AND content = 'empty'
  AND NOT EXISTS (SELECT 1 FROM commands AS f WHERE f.bank = compartments.bank AND f.no = compartments.no AND ` + inFlight + `)`

	sqlClaimCompartment = `
UPDATE compartments SET allocation = 'assigned', holder = $3, version = version + 1, changed_ms = $4
WHERE bank = $1 AND no = $2` + claimable + `
RETURNING version`
	sqlClaimCompartmentAt = `
UPDATE compartments SET allocation = 'assigned', holder = $3, version = version + 1, changed_ms = $4
WHERE bank = $1 AND no = $2 AND version = $5` + claimable
	sqlOccupyCompartment = `
UPDATE compartments SET allocation = 'occupied', version = version + 1, changed_ms = $4
WHERE bank = $1 AND no = $2 AND holder = $3 AND holder <> '' AND allocation <> 'occupied'`
	sqlReleaseCompartment = `
UPDATE compartments SET allocation = $4, holder = '', version = version + 1, changed_ms = $5
WHERE bank = $1 AND no = $2 AND holder = $3 AND holder <> ''`
	sqlNextGrantRev = `UPDATE banks SET grant_rev = grant_rev + 1 WHERE id = $1 RETURNING grant_rev`
)

// ClaimCompartment promises a door to a holder if it is free, in service, closed, locked, empty and no
// command of it is in flight; claimed is false otherwise. The holder has the authority to open it: the
// allocation is assigned, in the version answered.
func (tx *Tx) ClaimCompartment(id locker.CompartmentID, holder locker.ParcelID) (version int64, claimed bool, err error) {
	version, claimed, err = One(tx, Value[int64], sqlClaimCompartment, string(id.Bank), id.No, string(holder), tx.NowMS())
	return version, claimed, wrap(err, "claim compartment %s", id)
}

// ClaimCompartmentAt is ClaimCompartment for a door whose allocation has not changed since it was
// read at version.
func (tx *Tx) ClaimCompartmentAt(id locker.CompartmentID, holder locker.ParcelID, version int64) (bool, error) {
	n, err := tx.Exec(sqlClaimCompartmentAt, string(id.Bank), id.No, string(holder), tx.NowMS(), version)
	return n == 1, wrap(err, "claim compartment %s at version %d", id, version)
}

// OccupyCompartment says that the holder's goods are inside. A door of another holder is left
// alone.
func (tx *Tx) OccupyCompartment(id locker.CompartmentID, holder locker.ParcelID) error {
	_, err := tx.Exec(sqlOccupyCompartment, string(id.Bank), id.No, string(holder), tx.NowMS())
	return wrap(err, "occupy compartment %s", id)
}

// FreeCompartment ends a holder's promise; it does nothing when the door is another's. A door that
// was not seen closed and empty, or that a command may still open, is not freed: it is blocked and
// suspect, is nobody's, and returns by itself once that is over (see fleet.FreedReason).
func (tx *Tx) FreeCompartment(id locker.CompartmentID, holder locker.ParcelID) error {
	c, found, err := tx.compartment(id)
	if err != nil || !found || holder == "" || c.Holder != string(holder) {
		return err
	}
	running, found, err := tx.commandInFlight(id)
	if err != nil {
		return err
	}
	reason := fleet.FreedReason(c, found && running.Stage.Rank() < fleet.Verified.Rank())
	to := locker.Free
	if reason != "" {
		to = locker.Blocked
	}
	if _, err := tx.Exec(sqlReleaseCompartment, string(id.Bank), id.No, string(holder), string(to), tx.NowMS()); err != nil {
		return wrap(err, "free compartment %s", id)
	}
	if reason == "" || c.Service != locker.InService {
		return nil
	}
	return tx.setService(c, locker.Suspect, reason)
}

// CommandInFlight reports whether a command keeps a door busy. One whose outcome is unknown is past
// its deadline and can no longer begin.
func (tx *Tx) CommandInFlight(id locker.CompartmentID) (bool, error) {
	_, found, err := tx.commandInFlight(id)
	return found, err
}

// SuspectCompartment takes a door that is in service out of it, until an operator looked; changed is
// false when it was out already. A door that was out for a reason that ends by itself stays out.
func (tx *Tx) SuspectCompartment(id locker.CompartmentID, reason string) (changed bool, err error) {
	c, found, err := tx.compartment(id)
	if err != nil || !found || c.Service != locker.InService && c.Service != locker.Suspect {
		return false, err
	}
	return c.Service == locker.InService, tx.writeService(c, locker.Suspect, reason)
}

// TrustCompartment puts a suspect door back into service; changed is false when it was not suspect.
// One that is nobody's and was not seen closed and empty stays out until it is.
func (tx *Tx) TrustCompartment(id locker.CompartmentID) (changed bool, err error) {
	c, found, err := tx.compartment(id)
	if err != nil || !found || c.Service != locker.Suspect {
		return false, err
	}
	if c.Allocation != locker.Blocked || c.Holder != "" {
		return true, tx.writeService(c, locker.InService, "")
	}
	if reason := fleet.FreedReason(c, c.Busy); reason != "" {
		return false, tx.writeService(c, locker.Suspect, reason)
	}
	if _, err := (fleetTx{tx}).Unblock(id); err != nil {
		return false, err
	}
	return true, tx.writeService(c, locker.InService, "")
}

func (tx *Tx) writeService(c fleet.Compartment, to locker.Service, reason string) error {
	c.Service, c.Reason, c.ChangedAt = to, reason, tx.Now()
	return tx.saveCompartment(c)
}

// setService writes the service and tells.
func (tx *Tx) setService(c fleet.Compartment, to locker.Service, reason string) error {
	b, _, err := fleetTx{tx}.Bank(c.ID.Bank)
	if err != nil {
		return err
	}
	tx.Tell(event.ServiceChanged{
		About: event.About{Site: b.Site, Bank: c.ID.Bank, No: c.ID.No, At: tx.Now()}, Service: to, Reason: reason,
	})
	return tx.writeService(c, to, reason)
}

// NextGrantRev takes the next grant revision of a bank, from 1 without gaps. Whoever takes one must
// use it in the same transaction: the bank takes them in without gaps only.
func (tx *Tx) NextGrantRev(bank locker.BankID) (uint64, error) {
	rev, found, err := One(tx, Value[int64], sqlNextGrantRev, string(bank))
	if err == nil && !found {
		err = fmt.Errorf("there is no bank %s", bank)
	}
	return uint64(rev), wrap(err, "take a grant revision of %s", bank)
}
