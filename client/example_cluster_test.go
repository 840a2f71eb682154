package client_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"lockstep/transport"
)

// exampleCluster is a cluster for the examples: a node on an in-process network, in real time.
type exampleCluster struct {
	id    uint64
	nodes []transport.Addr

	mu    sync.Mutex // the world stands still while it is held
	w     *world
	t     *exampleTest
	hosts byte
	ended chan struct{}
	done  chan struct{}
}

// exampleTest is the test that an example is not: what goes wrong is a panic.
type exampleTest struct {
	testing.TB
	cleanups []func()
}

func (t *exampleTest) Helper()                   {}
func (t *exampleTest) Cleanup(f func())          { t.cleanups = append(t.cleanups, f) }
func (t *exampleTest) Errorf(s string, a ...any) { panic(fmt.Sprintf(s, a...)) }
func (t *exampleTest) Fatalf(s string, a ...any) { panic(fmt.Sprintf(s, a...)) }
func (t *exampleTest) Fatal(a ...any)            { panic(fmt.Sprint(a...)) }

func startCluster() *exampleCluster {
	t := &exampleTest{}
	c := &exampleCluster{
		id: clusterID, nodes: []transport.Addr{addrOf(1)},
		w: newWorld(t, config{}), t: t, hosts: 100, ended: make(chan struct{}), done: make(chan struct{}),
	}
	c.w.lead(1)
	go c.run()
	return c
}

func (c *exampleCluster) run() {
	defer close(c.done)
	for {
		select {
		case <-c.ended:
			return
		default:
			c.mu.Lock()
			c.w.step()
			c.mu.Unlock()
			time.Sleep(20 * time.Microsecond)
		}
	}
}

// join is a transport on the cluster's network.
func (c *exampleCluster) join() transport.Transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hosts++
	return c.w.join(addrOf(c.hosts))
}

// resign and lead take the leader away and give it back.
func (c *exampleCluster) resign() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.w.resign()
}

func (c *exampleCluster) lead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.w.leader == nil {
		c.w.lead(1)
	}
}

func (c *exampleCluster) stop() {
	close(c.ended)
	<-c.done
	for _, f := range c.t.cleanups {
		f()
	}
}
