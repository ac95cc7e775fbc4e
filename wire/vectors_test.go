package wire_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	stdjson "encoding/json"
	"errors"
	"strings"
	"testing"

	"lockerfleet/locker"
	"lockerfleet/locker/grant"
	"lockerfleet/wire"
	"lockerfleet/wire/internal/spec"
)

// signatureFile is testdata/golden/signature.json: enough to check the signing and verifying code
// of another language step by step.
type signatureFile struct {
	Note      string   `json:"note"`
	Seed      string   `json:"seed_hex"`
	PublicHex string   `json:"public_key_hex"`
	Public    string   `json:"public_key_base64"`
	Topic     string   `json:"topic"`
	Body      string   `json:"body"`       // the payload before signing
	Signed    string   `json:"signed_hex"` // the bytes under the signature
	Signature string   `json:"signature_base64"`
	Payload   string   `json:"payload"` // what is sent
	Forged    []forged `json:"forged"`
}

// forged is a message that must not verify.
type forged struct {
	Name    string `json:"name"`
	Topic   string `json:"topic"`
	Payload string `json:"payload"`
}

func madeSignature(t *testing.T) signatureFile {
	t.Helper()
	m, _ := spec.ByName("unlock")
	body, err := wire.Encode(goldenValues()["unlock"][0].value)
	if err != nil {
		t.Fatal(err)
	}
	payload := string(encode(t, m, goldenValues()["unlock"][0].value))
	text := "lockerfleet wire 1\x00" + m.Topic + "\x00" + string(body[:len(body)-1])
	sig := base64.StdEncoding.EncodeToString(ed25519.Sign(key(), []byte(text)))
	pub := publicKeys()[0]
	return signatureFile{
		Note: "The key is published and good for nothing but this example.",
		Seed: hex.EncodeToString(key().Seed()), PublicHex: hex.EncodeToString(pub), Public: base64.StdEncoding.EncodeToString(pub),
		Topic: m.Topic, Body: string(body), Signed: hex.EncodeToString([]byte(text)), Signature: sig, Payload: payload,
		Forged: forgeries(m.Topic, payload, string(body)),
	}
}

func forgeries(topic, payload, body string) []forged {
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	stranger, err := wire.Sign(other, topic, []byte(body))
	if err != nil {
		stranger = nil
	}
	return []forged{
		{"another door", wire.DownTopic(spec.ExampleBank, spec.ExampleDoor+1, wire.DownUnlock), payload},
		{"another operation", wire.DownTopic(spec.ExampleBank, spec.ExampleDoor, wire.DownLock), payload},
		{"a later deadline", topic, strings.Replace(payload, `"dl":71900`, `"dl":81900`, 1)},
		{"a space more", topic, strings.Replace(payload, `"dl":`, `"dl": `, 1)},
		{"a member behind the signature", topic, strings.TrimSuffix(payload, "}") + `,"x":1}`},
		{"no signature", topic, body},
		{"a signature that is never closed", topic, strings.TrimSuffix(body, "}") + `,"sig":"}`},
		{"an empty signature", topic, strings.TrimSuffix(body, "}") + `,"sig":""}`},
		{"base64 without its end", topic, strings.Replace(payload, `=="}`, `"}`, 1)},
		{"the key of a stranger", topic, string(stranger)},
	}
}

func TestSignatureVector(t *testing.T) {
	t.Parallel()
	want := madeSignature(t)
	compare(t, "signature.json", indented(t, want))
	if err := wire.Verify(publicKeys(), want.Topic, []byte(want.Payload)); err != nil {
		t.Errorf("the example does not verify: %v", err)
	}
	if !strings.HasSuffix(want.Payload, `,"sig":"`+want.Signature+`"}`) {
		t.Errorf("payload %s does not end with the signature made by hand, %s", want.Payload, want.Signature)
	}
	for _, f := range want.Forged {
		if err := wire.Verify(publicKeys(), f.Topic, []byte(f.Payload)); !errors.Is(err, wire.ErrSignature) {
			t.Errorf("%s: got %v, want %v for %s", f.Name, err, wire.ErrSignature, f.Payload)
		}
	}
}

// codeFile is testdata/golden/code.json: how the digest of a code is made.
type codeFile struct {
	Note    string       `json:"note"`
	Key     string       `json:"code_key_hex"`
	Digests []codeDigest `json:"digests"`
	Own     []codeDigest `json:"own_numbers"` // of grants that a bank made by itself
}

type codeDigest struct {
	Grant  locker.GrantID `json:"grant"`
	Code   string         `json:"code"`
	Digest string         `json:"digest"`
}

func TestCodeDigestVector(t *testing.T) {
	t.Parallel()
	k := key().Seed()
	f := codeFile{Note: "digest = first 16 bytes of HMAC-SHA256(key, \"lockerfleet code 1\", 0, grant, 0, code), in hex", Key: hex.EncodeToString(k)}
	for _, c := range []codeDigest{{Grant: "grt-01j9zr00bb", Code: "402913"}, {Grant: "grt-01j9zr00bc", Code: "402913"}, {Grant: "grt-01j9zr00bb", Code: "000000"}} {
		d := grant.DigestOf(k, c.Grant, c.Code)
		c.Digest = hex.EncodeToString(d[:])
		f.Digests = append(f.Digests, c)
	}
	for _, id := range []locker.GrantID{"grt-00c0ffee0badcafe-2", "grt-00c0ffee0badcafe-5"} {
		n := codeDigest{Grant: id, Code: grant.OwnNumber(k, id)}
		d := grant.DigestOf(k, id, n.Code)
		n.Digest = hex.EncodeToString(d[:])
		f.Own = append(f.Own, n)
	}
	compare(t, "code.json", indented(t, f))
}

// topicFile is testdata/golden/topics.json: topics with what they mean, and topics to refuse.
type topicFile struct {
	Shards []shardOf   `json:"shards"`
	Topics []topicCase `json:"topics"`
	Refuse []string    `json:"refuse"`
}

type shardOf struct {
	Bank  locker.BankID `json:"bank"`
	Shard string        `json:"shard"`
}

type topicCase struct {
	Message string `json:"message"`
	Topic   string `json:"topic"`
}

func TestTopicVectors(t *testing.T) {
	t.Parallel()
	var f topicFile
	for _, b := range []locker.BankID{spec.ExampleBank, "demo-2", "bank-01j9zpx0aa", "a0"} {
		f.Shards = append(f.Shards, shardOf{b, wire.Shard(b)})
	}
	for _, m := range spec.Messages() {
		f.Topics = append(f.Topics, topicCase{m.Name, m.Topic})
	}
	f.Refuse = refusedTopics()
	compare(t, "topics.json", indented(t, f))
	for _, topic := range f.Refuse {
		if parsed(topic) {
			t.Errorf("topic %q is parsed; it is not of the contract", topic)
		}
	}
}

func refusedTopics() []string {
	root := wire.BankRoot(spec.ExampleBank)
	return []string{
		"", "lf", root, root + "/up", root + "/up/", root + "/up/door", root + "/up/live/", "/" + root + "/up/live",
		"lf/v2" + strings.TrimPrefix(root, "lf/v1") + "/up/live", "lf/v1/d/00/demo-1/up/live", "lf/v1/d/+/demo-1/up/live",
		"lf/v1/d/" + wire.Shard("Demo-1") + "/Demo-1/up/live", root + "/dn/unlock", root + "/dn/-/unlock", root + "/dn/7/hello",
		root + "/dn/0/unlock", root + "/dn/007/unlock", root + "/dn/+7/unlock", root + "/dn/201/unlock", root + "/dn/-7/unlock", root + "/dn/7/toggle",
		"lf/v1/i/acme", "lf/v1/i/acme/stmt", "lf/v1/i/acme/ack/order-1001", "lf/v1/i/-acme/stmt/delivery", "lf/v1/i/acme/stmt/delivery/1",
		root + "/up/" + strings.Repeat("x", wire.MaxTopic),
	}
}

// parsed reports whether any parser takes a topic.
func parsed(topic string) bool {
	_, _, up := wire.ParseUp(topic)
	_, _, down := wire.ParseDown(topic)
	_, _, stated := wire.ParseStatement(topic)
	return up == nil || down == nil || stated == nil
}

func TestMessagesAreFoundByTheirTopic(t *testing.T) {
	t.Parallel()
	for _, m := range spec.Messages() {
		if want := m.From == spec.Bank || m.To == spec.Bank || m.From == spec.Partner; parsed(m.Topic) != want {
			t.Errorf("topic %s of %s: parsed %t, want %t", m.Topic, m.Name, !want, want)
		}
	}
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := stdjson.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
