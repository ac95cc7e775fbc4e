package scenarios_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"lockerfleet/test/kit"
	"lockerfleet/wire"
)

// long is text of n bytes.
func long(n int) string { return strings.Repeat("x", n) }

// Bad input over REST: oversized, malformed, wrong type, unknown field, out of range, unknown
// thing, no credential, a stranger's: each is refused with a stable code.
func TestBadInputOverRESTIsRefusedWithACode(t *testing.T) {
	t.Parallel()
	p, bank, acme := shop(t, kit.Options{}, kit.BankSpec{})
	ack := acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})
	rival, nobody := p.Partner("rival", "").REST, p.REST("")
	tests := []struct {
		name    string
		as      *kit.REST
		method  string
		path    string
		in      any
		headers []string
		status  int
		code    string
	}{
		{"oversized body", p.Admin, "POST", "/commands", `{"bank":"` + long(70_000) + `"}`, nil, 413, "too_large"},
		{"oversized statement", acme.REST, "POST", "/statements/delivery", `{"ref":"` + long(70_000) + `"}`, nil, 413, "too_large"},
		{"malformed JSON", p.Admin, "POST", "/commands", `{"bank":`, nil, 400, "malformed"},
		{"text behind the value", p.Admin, "POST", "/commands", `{"bank":"hall","compartment":1,"op":"unlock","reason":"abc"} x`, nil, 400, "malformed"},
		{"field twice", p.Admin, "POST", "/commands", `{"bank":"hall","bank":"hall","compartment":1,"op":"unlock","reason":"abc"}`, nil, 400, "malformed"},
		{"no body", p.Admin, "POST", "/commands", "", nil, 400, "malformed"},
		{"not JSON", p.Admin, "POST", "/commands", `bank=hall`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"},
		{"wrong type", p.Admin, "POST", "/commands", `{"bank":"hall","compartment":"1","op":"unlock","reason":"abc"}`, nil, 422, "bad_input"},
		{"unknown field", p.Admin, "POST", "/commands", `{"bank":"hall","compartment":1,"op":"unlock","reason":"abc","toggle":true}`, nil, 422, "bad_input"},
		{"field in other letters", p.Admin, "POST", "/commands", `{"Bank":"hall","compartment":1,"op":"unlock","reason":"abc"}`, nil, 422, "bad_input"},
		{"unknown word", p.Admin, "POST", "/commands", `{"bank":"hall","compartment":1,"op":"toggle","reason":"abc"}`, nil, 422, "bad_input"},
		{"out of range", p.Admin, "POST", "/commands", `{"bank":"hall","compartment":201,"op":"unlock","reason":"abc"}`, nil, 422, "bad_input"},
		{"unknown parameter", p.Admin, "GET", "/banks?colour=red", nil, nil, 422, "bad_input"},
		{"unknown bank", p.Admin, "POST", "/commands", `{"bank":"moon","compartment":1,"op":"unlock","reason":"abc"}`, nil, 404, "no_bank"},
		{"unknown door", p.Admin, "POST", "/commands", `{"bank":"hall","compartment":77,"op":"unlock","reason":"abc"}`, nil, 404, "no_compartment"},
		{"unknown path", p.Admin, "GET", "/toggles", nil, nil, 404, "no_such_path"},
		{"wrong method", p.Admin, "DELETE", "/banks", nil, nil, 405, "method_not_allowed"},
		{"no credential", nobody, "POST", "/commands", `{"bank":"hall","compartment":1,"op":"unlock","reason":"abc"}`, nil, 401, "credential_missing"},
		{"wrong credential", p.REST("lfk-nonsense"), "GET", "/banks", nil, nil, 401, "bad_credential"},
		{"no right", acme.REST, "POST", "/commands", `{"bank":"hall","compartment":1,"op":"unlock","reason":"abc"}`, nil, 403, "role_forbids"},
		{"statement of an operator", p.Admin, "POST", "/statements/delivery", `{"ref":"a"}`, nil, 403, "role_forbids"},
		{"another partner's parcel", rival, "GET", "/parcels/" + string(ack.Parcel), nil, nil, 404, "parcel_unknown"},
		{"reference of bad letters", acme.REST, "POST", "/statements/delivery", `{"ref":"O_1"}`, nil, 422, "ref_invalid"},
		{"attempt without a door", nobody, "POST", "/attempts", `{"bank":"hall","compartment":0,"code":"1"}`, nil, 422, "bad_input"},
		{"attempt with a long code", nobody, "POST", "/attempts", `{"bank":"hall","compartment":1,"code":"` + long(33) + `"}`, nil, 422, "bad_input"},
		{"attempt at an unknown bank", nobody, "POST", "/attempts", `{"bank":"moon","compartment":1,"code":"123456"}`, nil, 404, "no_bank"},
		{"search for nothing", p.Admin, "GET", "/search?size=m", nil, nil, 422, "bad_need"},
		{"search at no place", p.Admin, "GET", "/search?size=m&near=here", nil, nil, 422, "bad_position"},
		{"bad cursor", p.Admin, "GET", "/events?cursor=x", nil, nil, 422, "bad_cursor"},
		{"token of no attempt", p.REST("lft-nonsense"), "GET", "/commands/cmd-1", nil, nil, 404, "no_command"},
		{"person with the id of a partner", p.Admin, "POST", "/people", `{"id":"acme","role":"viewer","name":"x"}`, nil, 409, "id_taken"},
		{"partner with the id of a bank", p.Admin, "POST", "/partners", `{"id":"hall","name":"x","kind":"shop"}`, nil, 409, "id_taken"},
		{"bank with the id of a partner", p.Admin, "POST", "/banks", `{"id":"acme","site":"station","name":"x","layout":"S:2"}`, nil, 409, "id_taken"},
		{"bank with the id of the control center", p.Admin, "POST", "/banks", `{"id":"lockerfleet-controlcenter","site":"station","name":"x","layout":"S:2"}`, nil, 409, "id_taken"},
		{"bad webhook address", p.Admin, "POST", "/partners", `{"name":"x","webhook_url":"http://example.org/hook"}`, nil, 422, "bad_webhook_url"},
	}
	for _, tt := range tests {
		problem := tt.as.Refused(tt.method, tt.path, tt.in, tt.headers...)
		if problem.Status != tt.status || problem.Code != tt.code || problem.Detail == "" {
			t.Errorf("%s: %d %s %q, want %d %s with a sentence", tt.name, problem.Status, problem.Code, problem.Detail, tt.status, tt.code)
		}
	}
	if got := p.Admin.Request("POST", "/commands", `{"bank":"hall","compartment":1,"op":"unlock","reason":"abc"}`, "Content-Type", "application/json"); got.Status != http.StatusCreated {
		t.Fatalf("a right request after all that: %d %s", got.Status, got.Body)
	}
	bank.AwaitOpen(1)
}

// The same idempotency key for another request is refused.
func TestBadInputKeyUsedForAnotherRequest(t *testing.T) {
	t.Parallel()
	p := kit.Start(t, kit.Options{})
	bank := p.Bank(kit.BankSpec{ID: "hall"})
	order := func(no int) kit.Answer {
		return p.Admin.Request("POST", "/commands", map[string]any{"bank": "hall", "compartment": no, "op": "unlock", "reason": "abc"}, "Idempotency-Key", "k-1")
	}
	if a := order(1); a.Status != http.StatusCreated {
		t.Fatalf("first: %d %s", a.Status, a.Body)
	}
	if a := order(2); a.Status != http.StatusUnprocessableEntity && a.Status != http.StatusConflict {
		t.Errorf("another request under the same key: %d %s", a.Status, a.Body)
	}
	bank.AwaitOpen(1)
	if got := bank.Pulses(2); got != 0 {
		t.Errorf("coil 2 was on %d times, want never", got)
	}
}

// Bad input of a partner over MQTT is rejected with a code under its reference, as far as that can
// be read, and what follows is taken in as if nothing had been.
func TestBadInputOfAPartnerOverMQTTIsRejectedWithACode(t *testing.T) {
	t.Parallel()
	_, _, acme := shop(t, kit.Options{}, kit.BankSpec{})
	past := kit.Delivery("past", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})
	past.Arrives = time.Now().Add(-2 * time.Hour).UnixMilli()
	tests := []struct {
		name, ref, code string
		kind            wire.StatementKind
		payload         any
	}{
		{"malformed", "unreadable", "bad_json", wire.KindDelivery, `{"ref":`},
		{"nothing", "unreadable", "bad_json", wire.KindDelivery, ``},
		{"text behind the value", "behind", "bad_json", wire.KindDelivery, `{"ref":"behind"} x`},
		{"field twice", "twice", "bad_json", wire.KindDelivery, `{"ref":"twice","ref":"twice"}`},
		{"wrong type", "unreadable", "bad_json", wire.KindDelivery, `{"ref":7}`},
		{"bad reference", "unreadable", "schema", wire.KindDelivery, `{"ref":"A_B"}`},
		{"long text", "long", "schema", wire.KindDelivery, `{"ref":"long","recipient":{"name":"` + long(201) + `"}}`},
		{"expired", "past", "window_past", wire.KindDelivery, past},
		{"unknown kind", "kind", "unknown_kind", "teleport", kit.Delivery("kind", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})},
		{"unknown size", "size", "schema", wire.KindDelivery, kit.Delivery("size", wire.Place{Bank: "hall"}, wire.Goods{Size: "huge"})},
		{"cancel of nothing", "nothing", "parcel_unknown", wire.KindCancel, wire.Statement{Ref: "nothing"}},
	}
	for _, tt := range tests {
		payload, err := text(tt.payload)
		if err != nil {
			t.Fatal(err)
		}
		seen := len(acme.Heard())
		if err := acme.Publish(wire.StatementTopic("acme", tt.kind), payload); err != nil {
			t.Fatalf("%s: publish: %v", tt.name, err)
		}
		if ack := acme.AckAfter(seen, tt.ref, wire.AckRejected); ack.Code != tt.code || ack.Detail == "" {
			t.Errorf("%s: answer %+v, want %s with a sentence", tt.name, ack, tt.code)
		}
	}
	acme.Announce("o-1", wire.Place{Bank: "hall"}, wire.Goods{Size: "m"})
}

func text(payload any) ([]byte, error) {
	if s, ok := payload.(string); ok {
		return []byte(s), nil
	}
	return wire.Encode(payload)
}

// What a partner may not publish at all ends its connection: too large, retained, another's topic.
func TestBadInputThatTheBrokerRefuses(t *testing.T) {
	t.Parallel()
	p, _, acme := shop(t, kit.Options{}, kit.BankSpec{})
	p.Partner("rival", "")
	st, err := wire.Encode(&wire.Statement{Ref: "o-1", Place: wire.Place{Bank: "hall"}, Goods: wire.Goods{Size: "m"}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		topic  string
		body   []byte
		retain bool
	}{
		{"larger than a statement", wire.StatementTopic("acme", wire.KindDelivery), []byte(`{"ref":"` + long(5000) + `"}`), false},
		{"larger than any message", wire.StatementTopic("acme", wire.KindDelivery), []byte(long(60 << 10)), false},
		{"retained", wire.StatementTopic("acme", wire.KindDelivery), st, true},
		{"another partner's topic", wire.StatementTopic("rival", wire.KindDelivery), st, false},
		{"an answer", wire.StatementAckTopic("acme", "o-1"), st, false},
		{"no topic of ours", "hello/world", st, false},
	}
	for _, tt := range tests {
		tool := p.Listen("acme", acme.Secret)
		if err := tool.Send(tt.topic, tt.body, tt.retain); err == nil {
			t.Errorf("%s: acknowledged", tt.name)
		}
		p.Until(tt.name+": the connection ends", func() bool { return tool.Session.Err() != nil })
	}
	if parcels := kit.Items[kit.Parcel](p.Admin, "/parcels"); len(parcels) != 0 {
		t.Errorf("parcels = %+v, want none", parcels)
	}
	again := p.Listen("acme", acme.Secret, wire.PartnerRoot("acme")+"/ack/+")
	if err := again.Publish(wire.StatementTopic("acme", wire.KindDelivery), st); err != nil {
		t.Errorf("a right statement after all that: %v", err)
	}
}

// A bank that breaks the contract is not believed, and what its agent says afterwards is.
func TestBadInputOfABankChangesNothing(t *testing.T) {
	t.Parallel()
	p := kit.Start(t, kit.Options{})
	bank := p.Bank(kit.BankSpec{ID: "hall"})
	before, doors := bank.Events(), bank.Doors()
	for up, bodies := range map[wire.Up][]string{
		wire.UpLive:      {`{`, `{"status":"birth"}`, `{"status":"gone","boot":"0123456789abcdef","ep":1,"up":1}`, `{"status":"lost","boot":"0123456789abcdef","ep":9,"up":1}`},
		wire.UpState:     {`[]`, `{"boot":"0123456789abcdef","ep":1,"up":1,"rev":9,"head":9,"compartments":[{"c":1,"lock":"open","door":"open","content":"empty"}]}`},
		wire.UpEvents:    {`{"events":[]}`, `{"boot":"0123456789abcdef","ep":1,"up":1,"events":[{"seq":0,"type":"door"}]}`, `{"boot":"` + bank.Info().Boot + `","ep":1,"up":1,"events":[{"seq":100000,"boot":"` + bank.Info().Boot + `","up":1,"type":"door","c":1,"door":"open"}]}`},
		wire.UpTelemetry: {long(3000), `{"boot":"0123456789abcdef","ep":1,"up":1,"rows":[{"c":1,"up":1,"g":1.5}]}`},
		wire.UpHeartbeat: {`null`, `{"boot":"x","ep":-1}`},
	} {
		for _, body := range bodies {
			if err := p.Broker().Publish(wire.UpTopic("hall", up), []byte(body), 1, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := p.Order("hall", 2, "lock") // all of the above was taken in when this is answered
	if c = p.AwaitCommand(p.Admin, c.ID, "final"); c.Stage != "done" {
		t.Errorf("command after all that = %+v, want done", c)
	}
	after := bank.Events()
	gapFree(t, after)
	if len(after) < len(before) {
		t.Errorf("%d events after, %d before", len(after), len(before))
	}
	for i, d := range bank.Doors() {
		if d.Door != doors[i].Door || d.Lock != doors[i].Lock || d.Content != doors[i].Content {
			t.Errorf("door %d = %+v, want it as before: %+v", d.No, d, doors[i])
		}
	}
	if !bank.Info().Online {
		t.Error("the bank is offline")
	}
}

// At the panel every odd entry is answered, and none opens.
func TestBadInputAtThePanelIsAnswered(t *testing.T) {
	t.Parallel()
	p := kit.Start(t, kit.Options{})
	bank := p.Bank(kit.BankSpec{ID: "hall"})
	for _, tt := range []struct {
		no         int
		code, want string
	}{
		{1, "", "nothing_here"}, {2, long(5000), "nothing_here"}, {3, "0' OR 1=1 --", "nothing_here"},
		{0, "123456", "no_door"}, {99, "123456", "no_door"}, {-1, "123456", "no_door"},
	} {
		if got := bank.Enter(tt.no, tt.code); got != tt.want {
			t.Errorf("door %d, code %.12q: %q, want %q", tt.no, tt.code, got, tt.want)
		}
	}
	for no := 1; no <= 5; no++ {
		if got := bank.Pulses(no); got != 0 {
			t.Errorf("coil %d was on %d times, want never", no, got)
		}
	}
}
