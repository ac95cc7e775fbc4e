package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"lockerfleet/internal/conformance"
	"lockerfleet/locker"
	"lockerfleet/simulator"
	"lockerfleet/simulator/world"
)

// conformanceFlags are how the kit meets a device.
type conformanceFlags struct {
	bank, broker, user, password, ca  string
	listen, advertise, credential     string
	key, codeKey                      string
	simulated, ask                    bool
	open, shut, typed, restart        string
	door                              int
	only                              []string
	connectFor, totalFor, doorWaitFor time.Duration
	output                            output
}

func (a *app) conformance() *cobra.Command {
	var f conformanceFlags
	cmd := &cobra.Command{
		Use: "conformance", Args: cobra.NoArgs,
		Short: "Check which duties of the device contract a device keeps",
		Long: `Plays the control center against one device and prints which duties of docs/wire.md hold.

With --listen it opens a broker of its own and prints what the device must be given: address, user
name, password, public key and code key, with --credential also as the file that our agent reads.
With --broker it uses a broker that stands, with a control center's credential; what cannot be seen
there is not applicable. With --simulated it checks the agent of this build.

Rows that open a door need somebody who closes it: --ask tells you what to do, --close-cmd and the
others run a command with LOCKERFLEET_DOOR and LOCKERFLEET_CODE set. The device gets grants, a
desired document and new event numbers: use a bank that serves nobody.

The exit code is 0 when every duty that applies holds, 1 when one does not, 2 when they could not
be tried.`,
		Example: `  lockerfleet conformance --simulated
  lockerfleet conformance --bank bench-1 --listen :1883 --credential credential.json --ask
  lockerfleet conformance --bank bench-1 --broker mqtts://broker.example.org --user lockerfleet-controlcenter --password SECRET --key center.pem`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.conform(cmd, f) },
	}
	fl := cmd.Flags()
	f.output.flag(cmd)
	fl.StringVar(&f.bank, "bank", "conformance-bank", "id of the bank")
	fl.StringVar(&f.listen, "listen", "", "open a broker here, as HOST:PORT")
	fl.StringVar(&f.advertise, "advertise", "", "address of that broker as the device reaches it, e.g. mqtt://192.168.1.5:1883")
	fl.StringVar(&f.credential, "credential", "", "write the device's credential to this file, as a claim does")
	fl.StringVar(&f.broker, "broker", "", "use the broker at this mqtt, mqtts, ws or wss address")
	fl.StringVar(&f.user, "user", "lockerfleet-controlcenter", "user name at --broker")
	fl.StringVar(&f.password, "password", "", "password at --broker, or of the device with --listen [$LOCKERFLEET_CONFORMANCE_PASSWORD]")
	fl.StringVar(&f.ca, "ca", "", "file with the authority of --broker's certificate, PEM")
	fl.StringVar(&f.key, "key", "", "Ed25519 signing key: a PKCS #8 PEM file, or 64 hexadecimal digits of seed in a file; made when not given")
	fl.StringVar(&f.codeKey, "code-key", "", "key under which the device compares codes, base64; made when not given and --listen is")
	fl.BoolVar(&f.simulated, "simulated", false, "check the simulated bank of this build")
	fl.BoolVar(&f.ask, "ask", false, "ask you to open and close doors, to type and to restart")
	fl.StringVar(&f.open, "open-cmd", "", "command that pulls a door open, where no spring does")
	fl.StringVar(&f.shut, "close-cmd", "", "command that closes a door")
	fl.StringVar(&f.typed, "type-cmd", "", "command that enters a code at the panel")
	fl.StringVar(&f.restart, "restart-cmd", "", "command that restarts the device")
	fl.IntVar(&f.door, "door", 0, "compartment to use; 0: the first")
	fl.StringSliceVar(&f.only, "only", nil, "only the duties whose ids begin with one of these")
	fl.DurationVar(&f.connectFor, "connect-within", conformance.DefaultConnect, "how long to wait for the device")
	fl.DurationVar(&f.totalFor, "within", conformance.DefaultTotal, "how long the whole run may take")
	fl.DurationVar(&f.doorWaitFor, "door-within", conformance.DefaultDoor, "how long hands may take")
	return cmd
}

// conform makes the run that the flags ask for. What keeps the duties from being tried is a usage
// error: its exit code says so.
func (a *app) conform(cmd *cobra.Command, f conformanceFlags) error {
	if err := f.check(); err != nil {
		return usageError{err}
	}
	key, err := signingKey(f.key)
	if err != nil {
		return usageError{err}
	}
	o := conformance.Options{
		Bank: locker.BankID(f.bank), Key: key, Door: f.door, Only: f.only,
		Connect: f.connectFor, Total: f.totalFor, DoorWait: f.doorWaitFor, Progress: a.rowSeen,
	}
	if o.CodeKey, err = f.codes(); err != nil {
		return usageError{err}
	}
	if f.ask {
		o.Hands = conformance.Person(cmd.InOrStdin(), a.err)
	} else {
		o.Hands = conformance.Commands(f.open, f.shut, f.typed, f.restart)
	}
	closed, err := a.wired(cmd.Context(), f, &o)
	if err != nil {
		return usageError{err}
	}
	defer closed()
	report, err := conformance.Run(cmd.Context(), o)
	if err := a.printReport(f.output, report); err != nil {
		return err
	}
	switch {
	case err != nil:
		return usageError{err}
	case report.Failed > 0:
		return fmt.Errorf("%d duties do not hold", report.Failed)
	case !report.Holds():
		return usageError{fmt.Errorf("%w: %d duties were blocked, %d passed", conformance.ErrNotRun, report.Blocked, report.Passed)}
	}
	return nil
}

func (f *conformanceFlags) check() error {
	ways := 0
	for _, given := range []bool{f.listen != "", f.broker != "", f.simulated} {
		if given {
			ways++
		}
	}
	hands := f.open + f.shut + f.typed + f.restart
	switch {
	case ways != 1:
		return errors.New("say how to meet the device: one of --listen, --broker and --simulated")
	case f.ask && hands != "":
		return errors.New("--ask and the commands for hands exclude each other")
	case f.simulated && (f.ask || hands != ""):
		return errors.New("--simulated has hands of its own: leave --ask and the commands out")
	case f.broker != "" && f.key == "":
		return errors.New("--broker needs --key: the key whose public half the device holds")
	}
	f.password = first(f.password, os.Getenv("LOCKERFLEET_CONFORMANCE_PASSWORD"))
	return f.output.check()
}

func (f *conformanceFlags) codes() ([]byte, error) {
	if f.codeKey != "" {
		k, err := base64.StdEncoding.DecodeString(f.codeKey)
		if err != nil || len(k) < 16 {
			return nil, errors.New("--code-key: want at least 16 bytes in base64, as code_key of the claim")
		}
		return k, nil
	}
	if f.broker != "" {
		return nil, nil
	}
	k := make([]byte, 32)
	_, _ = rand.Read(k) // never fails on the systems we run on
	return k, nil
}

// signingKey reads a key; an empty path makes one.
func signingKey(path string) (ed25519.PrivateKey, error) {
	if path == "" {
		_, key, err := ed25519.GenerateKey(nil)
		return key, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	if seed, err := hex.DecodeString(strings.TrimSpace(string(b))); err == nil && len(seed) == ed25519.SeedSize {
		return ed25519.NewKeyFromSeed(seed), nil
	}
	if block, _ := pem.Decode(b); block != nil {
		if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if key, ok := k.(ed25519.PrivateKey); ok {
				return key, nil
			}
		}
	}
	return nil, fmt.Errorf("--key %s: want a PKCS #8 PEM file with an Ed25519 key, or its seed as 64 hexadecimal digits", path)
}

// wired makes the line to the device and answers how to end it.
func (a *app) wired(ctx context.Context, f conformanceFlags, o *conformance.Options) (func(), error) {
	if f.broker != "" {
		return f.remote(ctx, o)
	}
	address := f.listen
	if f.simulated {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", address, err)
	}
	local, err := conformance.Listen(l, o.Bank, f.password)
	if err != nil {
		_ = l.Close() // the error above is the one to tell
		return nil, err
	}
	o.Line = local
	cred := simulator.Credential{
		Bank: o.Bank, BrokerURL: first(f.advertise, "mqtt://"+l.Addr().String()), Username: f.bank, Password: local.Password(),
		CenterKeys: [][]byte{o.Key.Public().(ed25519.PublicKey)}, CodeKey: o.CodeKey,
	}
	if f.simulated {
		return a.simulatedDevice(ctx, cred, local, o)
	}
	if err := a.tellDevice(f, cred); err != nil {
		_ = local.Close() // the error above is the one to tell
		return nil, err
	}
	return func() { _ = local.Close() }, nil
}

func (f *conformanceFlags) remote(ctx context.Context, o *conformance.Options) (func(), error) {
	login := conformance.Login{Address: f.broker, Username: f.user, Password: f.password}
	if f.ca != "" {
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--ca %s holds no certificate", f.ca)
		}
		login.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	r, err := conformance.Dial(ctx, login, o.Bank)
	if err != nil {
		return nil, err
	}
	o.Line = r
	return func() { _ = r.Close() }, nil
}

// tellDevice says what the device must be given.
func (a *app) tellDevice(f conformanceFlags, c simulator.Credential) error {
	if f.credential != "" {
		b, err := json.MarshalIndent(c, "", "  ")
		if err == nil {
			err = os.WriteFile(f.credential, append(b, '\n'), 0o600)
		}
		if err != nil {
			return fmt.Errorf("--credential: %w", err)
		}
	}
	_, err := fmt.Fprintf(a.err, "Point the device here; waiting for it up to %s.\n  broker      %s\n  user name   %s (also the client id)\n  password    %s\n  public key  %s (Ed25519, base64)\n  code key    %s (base64)\n",
		f.connectFor, c.BrokerURL, c.Username, c.Password, base64.StdEncoding.EncodeToString(c.CenterKeys[0]), base64.StdEncoding.EncodeToString(c.CodeKey))
	return err
}

// simulatedDevice runs a simulated bank that the kit also has hands at.
func (a *app) simulatedDevice(ctx context.Context, c simulator.Credential, line *conformance.Local, o *conformance.Options) (func(), error) {
	bank, err := simulator.NewBank(simulator.BankOptions{Credential: c, World: world.Options{Compartments: 4, Seed: 1, Bolt: true}})
	if err != nil {
		_ = line.Close() // the error above is the one to tell
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- bank.Run(ctx) }()
	o.Hands = conformance.Hands{
		Open:  func(ctx context.Context, no int) error { return bank.Open(ctx, no) },
		Close: func(ctx context.Context, no int) error { return bank.Close(ctx, no) },
		Type: func(ctx context.Context, no int, code string) error {
			_, err := bank.Type(ctx, no, code)
			return err
		},
		Restart: func(context.Context) error {
			bank.CutPower()
			bank.RestorePower()
			return nil
		},
	}
	return func() {
		stop()
		<-done
		_ = line.Close()
	}, nil
}

// rowSeen shows the progress.
func (a *app) rowSeen(r conformance.Row) {
	fmt.Fprintf(a.err, "%-8s %-22s %s\n", r.State, r.ID, r.Seen)
}

func (a *app) printReport(o output, r conformance.Report) error {
	if o == "json" {
		return writeJSON(a.out, r)
	}
	t := table.NewWriter()
	t.SetOutputMirror(a.out)
	t.SetStyle(table.StyleLight)
	t.SetColumnConfigs([]table.ColumnConfig{
		{Name: "expected", WidthMax: 48, WidthMaxEnforcer: text.WrapSoft}, {Name: "seen", WidthMax: 48, WidthMaxEnforcer: text.WrapSoft},
	})
	t.AppendHeader(table.Row{"duty", "wire.md", "expected", "seen", ""})
	for _, row := range r.Rows {
		t.AppendRow(table.Row{row.ID, fmt.Sprintf("section %d", row.Section), row.Expect, row.Seen, row.State})
	}
	t.Render()
	_, err := fmt.Fprintf(a.out, "bank %s, firmware %q: %d hold, %d do not, %d not applicable, %d could not be tried\n", r.Bank, r.Firmware, r.Passed, r.Failed, r.Skipped, r.Blocked)
	return err
}
