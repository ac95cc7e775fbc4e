package broker

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"lockerfleet/internal/memnet"
	"lockerfleet/locker"
	"lockerfleet/wire"
)

// TestMemoryOfIdleClients bounds what a connected, silent bank costs: its two
// goroutines, its session, its subscription and its two retained topics. The
// cost of its side of the connection is part of the figure.
func TestMemoryOfIdleClients(t *testing.T) {
	const clients, limit = 1_000, 15 << 10
	crew := roster{}
	for i := range clients {
		id := locker.BankID(fmt.Sprintf("bank-%05d", i))
		crew[string(id)] = Principal{Name: string(id), Permissions: wire.AgentPermissions(id)}
	}
	r := start(t, Options{Authority: crew, Limits: Limits{PerAddress: 2 * clients, PendingPerAddress: clients}})
	peers := make([]*memnet.Conn, 0, clients)
	before := inUse()
	for id := range crew {
		p := r.dial(4)
		p.mustConnect(hello{id: id, user: id, password: "secret", will: will(wire.UpTopic(locker.BankID(id), wire.UpLive))})
		p.subscribe(wire.DownFilter(locker.BankID(id)), 1)
		p.publish(wire.UpTopic(locker.BankID(id), wire.UpLive), "born", 1, true)
		p.publish(wire.UpTopic(locker.BankID(id), wire.UpState), "everything closed", 1, true)
		if err := p.ping(); err != nil {
			t.Fatal(err)
		}
		peers = append(peers, p.conn.(*memnet.Conn))
		p.in = nil
	}
	each := (inUse() - before) / clients
	t.Logf("%d bytes for each of %d idle clients", each, clients)
	if each > limit && !raced {
		t.Errorf("%d bytes for an idle client, the limit is %d", each, limit)
	}
	runtime.KeepAlive(peers)
}

// TestMemoryOfUnauthenticatedConnections bounds what somebody without a
// credential may take with one connection: the longest CONNECT, but for its
// last byte, and then silence.
func TestMemoryOfUnauthenticatedConnections(t *testing.T) {
	const sockets, limit = 500, 64 << 10
	r := start(t, Options{Limits: Limits{Unauthenticated: time.Hour, PerAddress: sockets, PendingPerAddress: sockets}})
	length := r.limits.Handshake
	body := append([]byte{0x10, byte(length&0x7f | 0x80), byte(length >> 7)}, make([]byte, length-1)...)
	peers := make([]*peer, 0, sockets)
	before := inUse()
	for range sockets {
		p := r.dial(4)
		p.raw(body)
		peers = append(peers, p)
	}
	for deadline := time.Now().Add(patience); value(t, r.metrics.pending) < sockets && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	each := (inUse() - before) / sockets
	t.Logf("%d bytes for each of %v unauthenticated connections", each, value(t, r.metrics.pending))
	if each > limit && !raced {
		t.Errorf("%d bytes for an unauthenticated connection, the limit is %d", each, limit)
	}
	runtime.KeepAlive(peers)
}

// inUse is the heap and the stacks in use.
func inUse() uint64 {
	var m runtime.MemStats
	for range 4 { // stacks shrink by half a collection
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
