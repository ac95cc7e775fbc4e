package people

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// auditPage is how many entries a check of the audit reads at once.
const auditPage = 500

// AuditHead is the newest entry of the audit's chain. Whoever noted a head elsewhere can tell
// later that everything up to it is as it was.
type AuditHead struct {
	No    uint64 // entries in the chain; 0 = none yet
	Hash  string // of the newest one, hexadecimal
	Older int    // entries from before there was a chain; nothing is known of them
}

// AuditCheck is what a walk along the chain found.
type AuditCheck struct {
	Head AuditHead
	// Broken is the number of the first entry that is not as it was written, 0 when every one is.
	Broken uint64
	Why    string // what is wrong there, in words
}

// OK reports whether the audit is as it was written.
func (c AuditCheck) OK() bool { return c.Why == "" }

// digest is the hash of an entry that follows another. Each text is preceded by its length, so
// that no two entries give the same bytes.
func (e Entry) digest(prev string) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "lockerfleet audit 1\n%d %d\n", e.No, e.At.UnixMilli())
	for _, s := range []string{prev, e.ID, e.Actor, e.Action, e.Object, string(e.Detail)} {
		_, _ = fmt.Fprintf(h, "%d:", len(s))
		_, _ = io.WriteString(h, s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// note writes an entry with the time of the transaction at the end of the chain.
func note(tx Tx, e Entry) error {
	head, err := tx.LockAuditHead()
	if err != nil {
		return err
	}
	e.At, e.No = tx.Now(), head.No+1
	e.Hash = e.digest(head.Hash)
	return tx.InsertAudit(e)
}

// AuditHead answers the newest entry of the chain.
func (s *Service) AuditHead(ctx context.Context, by Actor) (head AuditHead, err error) {
	if err := Allow(by, ReadAudit, ""); err != nil {
		return AuditHead{}, err
	}
	err = s.store.View(ctx, func(tx Tx) error {
		head, err = tx.AuditHead()
		return err
	})
	return head, err
}

// VerifyAudit walks the whole chain. witness, when its number is not 0, is a head that was noted
// elsewhere before: without one, somebody who can write to the database could make a new chain.
func (s *Service) VerifyAudit(ctx context.Context, by Actor, witness AuditHead) (c AuditCheck, err error) {
	if err := Allow(by, ReadAudit, ""); err != nil {
		return AuditCheck{}, err
	}
	err = s.store.View(ctx, func(tx Tx) error {
		c, err = verifyAudit(tx, witness)
		return err
	})
	return c, err
}

func verifyAudit(tx Tx, witness AuditHead) (AuditCheck, error) {
	head, err := tx.AuditHead()
	if err != nil {
		return AuditCheck{}, err
	}
	c, last := AuditCheck{Head: head}, AuditHead{}
	for {
		page, err := tx.AuditAfter(last.No, auditPage)
		if err != nil {
			return AuditCheck{}, err
		}
		for _, e := range page {
			if why := e.follows(last, witness); why != "" {
				c.Broken, c.Why = last.No+1, why
				return c, nil
			}
			last.No, last.Hash = e.No, e.Hash
		}
		if len(page) < auditPage {
			break
		}
	}
	older, err := tx.CountAuditOlder()
	switch {
	case err != nil:
		return AuditCheck{}, err
	case last.No != head.No || last.Hash != head.Hash:
		c.Broken, c.Why = last.No+1, fmt.Sprintf("the chain has %d entries, and the audit says it has %d: the newest are missing", last.No, head.No)
	case witness.No > head.No:
		c.Broken, c.Why = head.No+1, fmt.Sprintf("the chain has %d entries, and %d were seen before: the newest are missing", head.No, witness.No)
	case older != head.Older:
		c.Why = fmt.Sprintf("of the entries from before the chain there are %d, and there were %d", older, head.Older)
	}
	return c, nil
}

// follows says why e cannot be the entry after last; empty when it is.
func (e Entry) follows(last, witness AuditHead) string {
	switch {
	case e.No != last.No+1:
		return fmt.Sprintf("entry %d is missing: %s has number %d", last.No+1, e.ID, e.No)
	case e.Hash != e.digest(last.Hash):
		return fmt.Sprintf("entry %s was changed, or the one before it was", e.ID)
	case e.No == witness.No && e.Hash != witness.Hash:
		return fmt.Sprintf("entry %s is another one than was seen before", e.ID)
	}
	return ""
}
