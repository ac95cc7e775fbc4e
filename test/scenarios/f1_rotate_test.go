package scenarios_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"testing"

	"lockerfleet/internal/mqtt"
	"lockerfleet/test/kit"
)

// F1: while a password is renewed both open, after the first use of the new one the old one is dead,
// and who does not know the password renews nothing.
func TestF1PasswordIsRenewed(t *testing.T) {
	t.Parallel()
	p := kit.Start(t, kit.Options{})
	hall := p.Bank(kit.BankSpec{ID: "hall", Asleep: true})
	opens := func(password string) bool {
		_, err := p.Connect(mqtt.Options{ClientID: "hall", Username: "hall", Password: []byte(password)})
		return err == nil
	}
	rotate := func(password, next string) int {
		sum := sha256.Sum256([]byte(next))
		return p.REST("").Request(http.MethodPost, "/banks/hall/credential/rotate", map[string]any{
			"password": password, "next_sha256": hex.EncodeToString(sum[:]),
		}).Status
	}
	old, next := hall.Cred.Password, "a password that the board made"
	if got := rotate("guessed", next); got != http.StatusUnauthorized {
		t.Errorf("a wrong password renews: %d", got)
	}
	if got := rotate(old, next); got != http.StatusOK {
		t.Fatalf("renew: %d", got)
	}
	if !opens(old) || !opens(next) {
		t.Error("one of both passwords is refused in between")
	}
	if opens(old) || rotate(old, "thief") != http.StatusUnauthorized {
		t.Error("the old password lives on after the new one was used")
	}
	p.Admin.Post("/banks/hall/revoke", nil, nil)
	if opens(next) {
		t.Error("the renewed password outlives its revocation")
	}
}
