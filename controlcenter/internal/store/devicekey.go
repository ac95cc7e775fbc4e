package store

import (
	"encoding/hex"

	"lockerfleet/controlcenter/internal/fleet"
	"lockerfleet/locker"
	"lockerfleet/locker/custody"
)

// The keys with which boards sign what they saw.

const (
	sqlDeviceKeys = `
SELECT key, from_ms, until_ms, head FROM device_keys WHERE bank = $1 ORDER BY from_ms DESC, key LIMIT CAST($2 AS BIGINT)`
	sqlEndDeviceKeys   = `UPDATE device_keys SET until_ms = $2 WHERE bank = $1 AND until_ms = 0`
	sqlInsertDeviceKey = `
INSERT INTO device_keys (bank, key, from_ms) VALUES ($1, $2, $3)
ON CONFLICT (bank, key) DO UPDATE SET until_ms = 0`
	sqlSaveDeviceHead = `UPDATE device_keys SET head = $3 WHERE bank = $1 AND key = $2`
)

// deviceKeys reads the newest keys of a bank's boards, at most custody.MaxDeviceKeys.
func (tx *Tx) deviceKeys(bank locker.BankID) ([]fleet.DeviceKey, error) {
	scan := func(row Scanner) (fleet.DeviceKey, error) {
		k := fleet.DeviceKey{DeviceKey: custody.DeviceKey{Bank: bank}}
		var text string
		var from, until int64
		if err := row.Scan(&text, &from, &until, &k.Head); err != nil {
			return k, err
		}
		k.From, k.Until = instant(from), instant(until)
		var err error
		k.Key, err = hex.DecodeString(text)
		return k, err
	}
	keys, err := All(tx, scan, sqlDeviceKeys, string(bank), custody.MaxDeviceKeys)
	return keys, wrap(err, "read device keys of %s", bank)
}

// DeviceKeys reads the keys of a bank's boards, the newest first.
func (tx fleetTx) DeviceKeys(bank locker.BankID) ([]fleet.DeviceKey, error) {
	return tx.deviceKeys(bank)
}

// ReplaceDeviceKey ends the key in use and, when there is a new one, begins with it.
func (tx fleetTx) ReplaceDeviceKey(bank locker.BankID, key []byte) error {
	if _, err := tx.Exec(sqlEndDeviceKeys, string(bank), tx.NowMS()); err != nil || len(key) == 0 {
		return wrap(err, "end device key of %s", bank)
	}
	_, err := tx.Exec(sqlInsertDeviceKey, string(bank), hex.EncodeToString(key), tx.NowMS())
	return wrap(err, "keep device key of %s", bank)
}

// SaveDeviceHead keeps the hash of the newest closing signed with a key.
func (tx fleetTx) SaveDeviceHead(bank locker.BankID, key []byte, head string) error {
	_, err := tx.Exec(sqlSaveDeviceHead, string(bank), hex.EncodeToString(key), head)
	return wrap(err, "keep the newest closing of %s", bank)
}

// BoardKeys reads the keys of a bank's boards, the newest first.
func (tx deliveryTx) BoardKeys(bank locker.BankID) ([]custody.DeviceKey, error) {
	all, err := tx.deviceKeys(bank)
	keys := make([]custody.DeviceKey, len(all))
	for i := range all {
		keys[i] = all[i].DeviceKey
	}
	return keys, err
}
