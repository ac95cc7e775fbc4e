package fleet

import (
	"time"

	"lockerfleet/locker/custody"
)

// DeviceKey is a key of a bank's board with the hash of the newest closing that was signed with it,
// empty when none was.
type DeviceKey struct {
	custody.DeviceKey
	Head string
}

// AlarmCustody is raised by the control center itself: a closing of a bank that has a key carries no
// signature or a wrong one, or closings before it are missing. The next good closing of the door
// clears it; the links made in between stay unverified.
const AlarmCustody = "custody"

// Why AlarmCustody is raised.
const (
	detailUnsigned = "The closing is not signed by the key of the bank's board. It counts, and is not proved."
	detailChain    = "The closing is signed, but it does not follow the last one that was heard of: the board told of another past."
)

// proof is the board's own word for a closing. missing reports that there should be one; the alarm is
// raised then. A bank that had no key at the time is not asked.
func (b *batch) proof(e DeviceEvent, at time.Time) (p custody.Proof, missing bool, err error) {
	keys, err := b.deviceKeys()
	if err != nil || !keyed(keys, at) {
		return custody.Proof{}, false, err
	}
	p = custody.Proof{Statement: e.Statement, Sig: e.Sig}
	c, key := signer(keys, e, at)
	if key == nil {
		return p, true, raise(b.tx, b.s.ids.New("alm"), b.about(e, at), AlarmCustody, detailUnsigned)
	}
	p.Key = custody.KeyPrint(key.Key)
	follows := key.Head == c.Prev
	key.Head = c.Hash()
	if err := b.tx.SaveDeviceHead(b.bank, key.Key, key.Head); err != nil {
		return p, false, err
	}
	if !follows {
		return p, false, raise(b.tx, b.s.ids.New("alm"), b.about(e, at), AlarmCustody, detailChain)
	}
	return p, false, b.clearEvent(e.No, AlarmCustody, at)
}

// deviceKeys reads the keys of the bank once a batch.
func (b *batch) deviceKeys() ([]DeviceKey, error) {
	if b.keys != nil {
		return b.keys, nil
	}
	keys, err := b.tx.DeviceKeys(b.bank)
	b.keys = append([]DeviceKey{}, keys...)
	return b.keys, err
}

func keyed(keys []DeviceKey, at time.Time) bool {
	for i := range keys {
		if keys[i].Held(at) {
			return true
		}
	}
	return false
}

// signer is the closing that was signed and the key that did; nil when no key of the bank fits.
func signer(keys []DeviceKey, e DeviceEvent, at time.Time) (custody.Closing, *DeviceKey) {
	c, err := custody.ParseClosing(e.Statement)
	if err != nil || e.Sig == "" {
		return c, nil
	}
	for i := range keys {
		if k := &keys[i]; k.Good(at) && c.Bank == k.Bank && c.SignedBy(k.Key, e.Sig) {
			return c, k
		}
	}
	return c, nil
}
