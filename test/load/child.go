package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a process of ours.
type child struct {
	cmd  *exec.Cmd
	log  string
	dead chan struct{} // closed when it has ended
}

// children are stopped at the end, the newest first.
type children struct {
	mu  sync.Mutex
	all []*child
}

// start runs a program with its output in a file of the folder.
func (c *children) start(dir, name string, args ...string) (*child, error) {
	log, err := os.Create(filepath.Join(dir, filepath.Base(name)+"-"+strconv.FormatInt(time.Now().UnixNano(), 36)+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &child{cmd: cmd, log: log.Name(), dead: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.dead) }() // how it ended is in its log
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, p)
	return p, nil
}

func (c *children) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.all) - 1; i >= 0; i-- {
		c.all[i].stop()
	}
	c.all = nil
}

// stop ends a child in good order, or after ten seconds at once.
func (p *child) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.dead:
	case <-time.After(10 * time.Second):
		p.kill()
	}
}

func (p *child) kill() {
	_ = p.cmd.Process.Kill()
	<-p.dead
}

// failure says why a child ended, in the last words of its log.
func (p *child) failure() error {
	b, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return fmt.Errorf("%s ended: %s", filepath.Base(p.cmd.Path), strings.Join(lines[max(0, len(lines)-3):], " | "))
}

// await waits until met, which is asked every 20 ms, while the child lives.
func (p *child) await(ctx context.Context, what string, within time.Duration, met func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-p.dead:
			return p.failure()
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}

// ticks are the clock ticks of a second in /proc; Linux fixes them for programs.
const ticks = 100

// processor is the processor time a process has used.
func processor(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticks
}

func (p *child) processor() time.Duration { return processor(p.cmd.Process.Pid) }

// memoryOf is a line of what the system knows of a process's memory, such as VmRSS, in bytes.
func memoryOf(pid int, line string) float64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), line+":"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib * 1024
		}
	}
	return 0
}

func (p *child) memory(line string) float64 { return memoryOf(p.cmd.Process.Pid, line) }

// get reads a page of the server.
func get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer w.Body.Close()
	b, err := io.ReadAll(io.LimitReader(w.Body, 32<<20))
	if err == nil && w.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", url, w.Status)
	}
	return b, err
}

// freePort is a port nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// answers reports whether somebody listens at an address.
func answers(address string) bool {
	c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// errAbsent says that a program to compare with is not installed.
var errAbsent = errors.New("not installed")

func (b *bench) redisURL(ctx context.Context) (string, error) {
	if b.o.redis != "" {
		return b.o.redis, nil
	}
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", fmt.Errorf("redis-server: %w", errAbsent)
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	p, err := b.children.start(b.dir, path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
	if err != nil {
		return "", err
	}
	b.o.redis = "redis://" + address
	return b.o.redis, p.await(ctx, "Redis", 10*time.Second, func() bool { return answers(address) })
}

// startMosquitto runs mosquitto without credentials or permissions, which favours it.
func (b *bench) startMosquitto(ctx context.Context) (*child, string, error) {
	path := b.o.mosquitto
	for _, p := range []string{"mosquitto", "/usr/sbin/mosquitto"} {
		if path == "" {
			path, _ = exec.LookPath(p)
		}
	}
	if path == "" {
		return nil, "", fmt.Errorf("mosquitto: %w", errAbsent)
	}
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	conf := filepath.Join(b.dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 100000\nmax_inflight_messages 4096\nlog_type error\n", port)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, "", err
	}
	p, err := b.children.start(b.dir, path, "-c", conf)
	if err != nil {
		return nil, "", err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return p, "mqtt://" + address, p.await(ctx, "mosquitto", 10*time.Second, func() bool { return answers(address) })
}
