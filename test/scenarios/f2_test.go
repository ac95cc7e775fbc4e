package scenarios_test

import (
	"testing"
	"time"

	"lockerfleet/internal/mqtt"
	"lockerfleet/simulator"
	"lockerfleet/test/kit"
	"lockerfleet/wire"
)

func timeout(d time.Duration) <-chan time.Time { return time.After(d) }

// F2: birth makes a bank online, its last will offline, power a new boot and a broken connection a
// new epoch of the same boot.
func TestF2BirthWillBootAndEpoch(t *testing.T) {
	t.Parallel()
	p := kit.Start(t, kit.Options{})
	bank := p.Bank(kit.BankSpec{ID: "hall", Options: simulator.BankOptions{Backoff: 50 * time.Millisecond}})
	born := bank.Info()
	if !born.Online || born.Boot == "" || born.Epoch == 0 {
		t.Fatalf("bank = %+v, want online in a boot and an epoch", born)
	}
	bank.Disconnect()
	p.Until("the bank is online again", func() bool {
		i := bank.Info()
		return i.Online && i.Epoch > born.Epoch
	})
	if got := bank.Info(); got.Boot != born.Boot {
		t.Errorf("boot after a broken connection = %s, want still %s", got.Boot, born.Boot)
	}
	bank.CutPower()
	p.Within(second, "the last will is believed", func() bool { return !bank.Info().Online })
	bank.RestorePower()
	p.Until("the bank is online in a new boot", func() bool {
		i := bank.Info()
		return i.Online && i.Boot != born.Boot
	})
}

// F2: a bank that falls silent with its connection half open is known offline within one
// keep-alive, is not commanded from then on, and comes back by itself.
func TestF2SilenceIsOffline(t *testing.T) {
	t.Parallel()
	kit.Bubble(t, kit.Options{}, func(t *testing.T, p *kit.Platform) {
		line := p.Line()
		bank := p.Bank(kit.BankSpec{ID: "hall", Options: simulator.BankOptions{Dial: line.Dial}})
		<-timeout(2 * time.Minute)
		if !bank.Info().Online {
			t.Fatal("the bank is offline though its heartbeats come")
		}
		line.Cut()
		cut := time.Now()
		p.Within(time.Minute, "the bank is offline", func() bool { return !bank.Info().Online })
		if took := time.Since(cut); took > 31*time.Second { // and the sweep that finds it
			t.Errorf("offline known after %s, want within the keep-alive of 30 s", took)
		}
		problem := p.Admin.Refused("POST", "/commands", map[string]any{"bank": "hall", "compartment": 1, "op": "unlock", "reason": "scenario"})
		if problem.Status != 503 || problem.Code != "bank_offline" {
			t.Errorf("command is refused with %+v, want bank_offline", problem)
		}
		line.Mend()
		p.Within(3*time.Minute, "the bank is back", func() bool { return bank.Info().Online })
	})
}

// F2: the last will of an older connection that arrives after the newer one stands changes nothing.
func TestF2StaleWillIsIgnored(t *testing.T) {
	t.Parallel()
	p := kit.Start(t, kit.Options{})
	bank := p.Bank(kit.BankSpec{ID: "hall", Options: simulator.BankOptions{Backoff: 50 * time.Millisecond}})
	old := bank.Info()
	lost := wire.Live{Envelope: wire.Envelope{Boot: old.Boot, Ep: old.Epoch}, Status: wire.Lost}
	payload, err := wire.Encode(&lost)
	if err != nil {
		t.Fatal(err)
	}
	topic := wire.UpTopic("hall", wire.UpLive)
	thief, err := p.Connect(mqtt.Options{
		ClientID: "hall", Username: "hall", Password: []byte(bank.Cred.Password),
		Will: &mqtt.Message{Topic: topic, Payload: payload, QoS: 1, Retain: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	<-timeoutOr(thief.Session.Done())
	p.Until("the bank took its name back", func() bool {
		i := bank.Info()
		return i.Online && i.Epoch > old.Epoch
	})
	now := bank.Info()
	for range 5 {
		if err := p.Broker().Publish(topic, payload, 1, true); err != nil {
			t.Fatal(err)
		}
	}
	if c := p.Order("hall", 1, "unlock"); p.AwaitCommand(p.Admin, c.ID, "verified").Verified.IsZero() {
		t.Error("a command after the stale will is not carried out")
	}
	if got := bank.Info(); !got.Online || got.Boot != now.Boot {
		t.Errorf("bank = %+v, want online as before the stale will", got)
	}
}

func timeoutOr(done <-chan struct{}) <-chan struct{} {
	end := make(chan struct{})
	go func() {
		defer close(end)
		select {
		case <-done:
		case <-timeout(kit.Patience):
		}
	}()
	return end
}
