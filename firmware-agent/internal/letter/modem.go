package letter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Waits for a modem.
const (
	quiet      = 200 * time.Millisecond
	orderWait  = 2 * time.Second  // an order that moves nothing
	promptWait = 10 * time.Second // until it asks for the text
	sendWait   = 60 * time.Second // until the network has taken it
	attempts   = 3                // to wake it up
	maxAnswer  = 2048             // bytes of one answer; more is noise
)

// Line is an open serial line with a modem.
type Line interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

// Modem sends short messages by the orders of 3GPP TS 27.005 in text mode. The line is opened for
// each message, so that a modem may be changed while the bank runs.
type Modem struct {
	Open func() (Line, error)
}

// Send hands one message to the network and returns nil once the network has taken it. A message
// whose answer is lost counts as not sent: two are better than none.
func (m *Modem) Send(ctx context.Context, phone, text string) error {
	phone, err := number(phone)
	if err != nil {
		return err
	}
	line, err := m.Open()
	if err != nil {
		return fmt.Errorf("modem: %w", err)
	}
	defer line.Close()
	defer context.AfterFunc(ctx, func() { _ = line.Close() })()
	c := &chat{line: line}
	if err := c.message(phone, text); err != nil {
		return fmt.Errorf("modem: %w", errors.Join(err, ctx.Err()))
	}
	return nil
}

// chat is one conversation. held is what came and was not looked at yet.
type chat struct {
	line Line
	held []byte
}

func (c *chat) message(phone, text string) error {
	if err := c.wake(); err != nil {
		return err
	}
	pin, err := c.order("AT+CPIN?", orderWait)
	if err != nil {
		return fmt.Errorf("ask for the SIM: %w", err)
	}
	if !strings.Contains(pin, "READY") {
		return fmt.Errorf("the SIM wants a number (%s): switch its PIN off in a telephone", strings.TrimPrefix(pin, "+CPIN: "))
	}
	for _, order := range []string{"AT+CMGF=1", `AT+CSCS="GSM"`} {
		if _, err := c.order(order, orderWait); err != nil {
			return fmt.Errorf("%s: %w", order, err)
		}
	}
	if err := c.say(`AT+CMGS="` + phone + "\"\r"); err != nil {
		return err
	}
	if _, err := c.until(promptWait, isPrompt); err != nil {
		_ = c.say("\x1b") // whatever it waits for
		return fmt.Errorf("begin a message: %w", err)
	}
	if err := c.say(string(gsm(text)) + "\x1a"); err != nil {
		return err
	}
	if _, err := c.until(sendWait, isEnd); err != nil {
		return fmt.Errorf("send a message: %w", err)
	}
	return nil
}

// wake ends what an interrupted conversation left behind, switches the echo off and asks for
// numbered errors.
func (c *chat) wake() error {
	var err error
	for range attempts {
		if err = c.say("\x1b\r"); err != nil {
			return err
		}
		if err = c.drain(); err != nil {
			return err
		}
		if _, err = c.order("ATE0", orderWait); err == nil {
			_, _ = c.order("AT+CMEE=1", orderWait) // one that cannot number errors says ERROR
			return nil
		}
	}
	return fmt.Errorf("no answer to AT: check the line, its speed and the power of the modem: %w", err)
}

// drain waits until the modem says nothing for a moment: an old OK must not pass for the answer to
// a new order.
func (c *chat) drain() error {
	if err := c.line.SetReadDeadline(time.Now().Add(quiet)); err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, io.LimitReader(c.line, maxAnswer))
	if err == nil && n >= maxAnswer {
		return errors.New("the modem talks without end")
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

func (c *chat) say(text string) error {
	_, err := c.line.Write([]byte(text))
	return err
}

// order sends one order and returns the line of the answer before OK.
func (c *chat) order(text string, wait time.Duration) (string, error) {
	c.held = nil // an answer that came too late belongs to nothing
	if err := c.say(text + "\r"); err != nil {
		return "", err
	}
	return c.until(wait, isEnd)
}

func isPrompt(line string) bool { return strings.HasPrefix(line, ">") }
func isEnd(line string) bool    { return line == "OK" }

// until reads lines up to the one that over accepts and returns the last information line before
// it. An error of the modem ends it too.
func (c *chat) until(wait time.Duration, over func(string) bool) (info string, err error) {
	if err := c.line.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return "", err
	}
	for range maxAnswer {
		line, err := c.next()
		switch {
		case err != nil:
			return "", err
		case over(line):
			return info, nil
		case line == "ERROR" || strings.HasPrefix(line, "+CME ERROR") || strings.HasPrefix(line, "+CMS ERROR"):
			return "", refusal(line)
		case strings.HasPrefix(line, "+"):
			info = line
		}
	}
	return "", errors.New("the modem talks without end")
}

// next is the next line that is not empty. The prompt has no end of line.
func (c *chat) next() (string, error) {
	buf := make([]byte, 256)
	for {
		c.held = bytes.TrimLeft(c.held, "\r\n ")
		if bytes.HasPrefix(c.held, []byte(">")) {
			c.held = c.held[1:]
			return ">", nil
		}
		if i := bytes.IndexAny(c.held, "\r\n"); i >= 0 {
			line := strings.TrimSpace(string(c.held[:i]))
			c.held = c.held[i+1:]
			return line, nil
		}
		if len(c.held) > maxAnswer {
			return "", errors.New("its answer is too long")
		}
		n, err := c.line.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return "", errors.New("no answer in time")
		}
		if err != nil {
			return "", err
		}
		c.held = append(c.held, buf[:n]...)
	}
}

// refusal says what the commonest errors mean for who stands before the modem.
func refusal(line string) error {
	meant := map[string]string{
		"+CME ERROR: 10": "no SIM is inserted", "+CME ERROR: 11": "the SIM wants its PIN: switch it off in a telephone",
		"+CME ERROR: 13": "the SIM does not work", "+CME ERROR: 30": "no network: check the antenna",
		"+CMS ERROR: 38": "the network is out of order", "+CMS ERROR: 310": "no SIM is inserted", "+CMS ERROR: 311": "the SIM wants its PIN: switch it off in a telephone",
		"+CMS ERROR: 330": "the number of the message center is not known", "+CMS ERROR: 331": "no network: check the antenna",
	}[line]
	if meant == "" {
		return errors.New(line)
	}
	return fmt.Errorf("%s (%s)", meant, line)
}

// gsm writes text in the alphabet of 3GPP TS 23.038, one byte a character. What it does not have,
// or has only behind an escape, becomes a question mark.
func gsm(text string) []byte {
	special := map[rune]byte{
		'@': 0x00, '£': 0x01, '$': 0x02, 'è': 0x04, 'é': 0x05, 'ù': 0x06, 'à': 0x7f, '_': 0x11, 'Ä': 0x5b, 'Ö': 0x5c, 'Ü': 0x5e, 'ä': 0x7b,
		'ö': 0x7c, 'ü': 0x7e, 'ß': 0x1e, '\n': '\n',
	}
	out := make([]byte, 0, len(text))
	for _, r := range text {
		b, ok := special[r]
		switch {
		case ok:
			out = append(out, b)
		case r >= ' ' && r <= 'Z' || r >= 'a' && r <= 'z':
			out = append(out, byte(r))
		default:
			out = append(out, '?')
		}
	}
	return out
}
