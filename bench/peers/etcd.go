package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"lockstep/client"
	"lockstep/wire"
)

func etcdSync(fsync bool) (fsyncs, sync string) { return "every batch", "wal: write+fdatasync" }

func etcdName(id int) string { return fmt.Sprintf("member%d", id) }

func etcdURL(at string) url.URL { return url.URL{Scheme: "http", Host: at} }

func etcdNode(ctx context.Context, o *nodeOptions) error {
	c := embed.NewConfig()
	c.Name, c.Dir = etcdName(o.id), o.dir+"/etcd"
	peers, clients := etcdURL(o.self().peers()), etcdURL(o.self().clients())
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peers}, []url.URL{peers}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{clients}, []url.URL{clients}
	var all []string
	for i, m := range o.members {
		u := etcdURL(m.peers())
		all = append(all, etcdName(i+1)+"="+u.String())
	}
	c.InitialCluster, c.InitialClusterToken = strings.Join(all, ","), "lockstep-peers"
	c.LogLevel, c.Logger = "error", "zap"
	c.QuotaBackendBytes = 4 << 30
	e, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	defer e.Close()
	select {
	case <-ctx.Done():
		return nil
	case err := <-e.Err():
		return err
	case <-e.Server.StopNotify():
		return errors.New("etcd stopped by itself")
	}
}

// etcdKeys is how many keys are written in turn.
const etcdKeys = 1024

// etcdSession writes through etcd's own client: a goroutine for each message that may be under way.
type etcdSession struct {
	o           *loadOptions
	client      *clientv3.Client
	ctx         context.Context
	stop        context.CancelFunc
	work        chan etcdPut
	correlation uint64
	open        int
	mail        mailbox
	failure
}

type etcdPut struct {
	correlation uint64
	value       string
}

// dialEtcd opens a session with the member that leads, so that no message is passed on by another.
func dialEtcd(ctx context.Context, o *loadOptions) (session, error) {
	s := &etcdSession{o: o, work: make(chan etcdPut, o.window)}
	err := until(ctx, "no member leads", func(ctx context.Context) error {
		for _, m := range o.members {
			c, err := clientv3.New(clientv3.Config{Endpoints: []string{m.clients()}, Logger: zap.NewNop()})
			if err != nil {
				return err
			}
			status, err := c.Status(ctx, m.clients())
			if err == nil && status.Leader != 0 && status.Leader == status.Header.MemberId {
				s.client = c
				return nil
			}
			_ = c.Close()
		}
		return errors.New("none says that it leads")
	})
	if err != nil {
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(ctx)
	for range o.window {
		go s.worker()
	}
	return s, nil
}

func (s *etcdSession) worker() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case p := <-s.work:
			_, err := s.client.Put(s.ctx, fmt.Sprintf("key%d", p.correlation%etcdKeys), p.value)
			s.mail.post(answer{correlation: p.correlation, err: err})
		}
	}
}

// Send implements bench.Session.
func (s *etcdSession) Send(_ int64, _ uint16, _ wire.Levels, payload []byte) (uint64, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.open >= s.o.window {
		return 0, client.ErrWindow
	}
	s.correlation++
	s.open++
	s.work <- etcdPut{s.correlation, string(payload)}
	return s.correlation, nil
}

// Poll implements bench.Session.
func (s *etcdSession) Poll(int64) int {
	n, err := s.mail.drain(s.o.answer)
	s.open -= n
	if err != nil {
		s.set(err)
	}
	return n
}

// Err is why the session came to an end before its time.
func (s *etcdSession) Err() error { return s.err }

// Close ends the session's goroutines and connections.
func (s *etcdSession) Close() error {
	s.stop()
	return s.client.Close()
}
