package wire_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"lockerfleet/locker"
	"lockerfleet/locker/custody"
)

// closingFile is testdata/golden/closing.json: how a board signs what it saw, step by step.
type closingFile struct {
	Note      string        `json:"note"`
	Seed      string        `json:"seed_hex"`
	Public    string        `json:"public_key_hex"`
	Print     string        `json:"key_print"`
	Bank      locker.BankID `json:"bank"`
	Statement []string      `json:"statement_lines"` // joined with line feeds, none at the end
	Hash      string        `json:"hash_hex"`        // what the next closing has as prev
	Signature string        `json:"signature_base64"`
}

func TestClosingVector(t *testing.T) {
	t.Parallel()
	e := witnessed()[0]
	c := closingOf(e)
	if c.Prev == "" || !c.SignedBy(publicKeys()[0], e.Sig) {
		t.Fatalf("the example is not signed and chained: %+v", e)
	}
	if back, err := custody.ParseClosing(c.Statement()); err != nil || back.Hash() != c.Hash() {
		t.Fatalf("the statement is not read back: %+v, %v", back, err)
	}
	compare(t, "closing.json", indented(t, closingFile{
		Note: "The key is published and good for nothing but this example.", Seed: hex.EncodeToString(key().Seed()),
		Public: hex.EncodeToString(publicKeys()[0]), Print: custody.KeyPrint(publicKeys()[0]), Bank: c.Bank,
		Statement: strings.Split(c.Statement(), "\n"), Hash: c.Hash(), Signature: e.Sig,
	}))
}
