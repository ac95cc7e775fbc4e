package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"
)

// profile writes profiles of the server, such as heap, when they were asked for.
func (b *bench) profile(ctx context.Context, s *server, name string, kinds ...string) {
	if b.o.profiles == "" {
		return
	}
	for _, kind := range kinds {
		page, err := get(ctx, s.ready.Private+"/debug/pprof/"+kind)
		b.keepProfile(name+"-"+kind, page, err)
	}
}

func (b *bench) keepProfile(name string, page []byte, err error) {
	if err == nil {
		err = os.WriteFile(filepath.Join(b.o.profiles, name+".pprof"), page, 0o644)
	}
	if err != nil {
		b.report.failed("-", "profile "+name, err)
	}
}

// busy profiles the processors of the server and of this program for some seconds, when that was
// asked for. The function it answers waits for the end.
func (b *bench) busy(ctx context.Context, s *server, name string, seconds int) (end func()) {
	if b.o.profiles == "" {
		return func() {}
	}
	own, err := os.Create(filepath.Join(b.o.profiles, name+"-load-cpu.pprof"))
	if err != nil {
		b.report.failed("-", "profile "+name, err)
		return func() {}
	}
	_ = pprof.StartCPUProfile(own) // fails only when one is running
	done := make(chan struct{})
	go func() {
		defer close(done)
		page, err := get(ctx, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", s.ready.Private, seconds))
		pprof.StopCPUProfile()
		_ = own.Close()
		b.keepProfile(name+"-server-cpu", page, err)
	}()
	return func() {
		select {
		case <-done:
		case <-time.After(time.Duration(seconds+5) * time.Second):
		}
	}
}
