package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lockstep/client"
	"lockstep/wire"
)

func natsSync(fsync bool) (fsyncs, sync string) {
	if fsync {
		return "every message", "JetStream file storage, sync always"
	}
	return "none", "JetStream memory storage"
}

const (
	natsStream  = "peers"
	natsSubject = "peers.messages"
)

func natsName(id int) string { return fmt.Sprintf("member%d", id) }

func natsNode(ctx context.Context, o *nodeOptions) error {
	options := &natsserver.Options{
		ServerName: natsName(o.id), Host: o.self().addr.Addr().String(), Port: int(o.self().addr.Port()) + portClients,
		Cluster:   natsserver.ClusterOpts{Name: "peers", Host: o.self().addr.Addr().String(), Port: int(o.self().addr.Port()) + portPeers},
		JetStream: true, StoreDir: o.dir, SyncAlways: o.fsync, JetStreamMaxMemory: 4 << 30, JetStreamMaxStore: 16 << 30,
		NoSigs: true, NoLog: true,
	}
	for _, m := range o.members {
		options.Routes = append(options.Routes, &url.URL{Scheme: "nats", Host: m.peers()})
	}
	s, err := natsserver.NewServer(options)
	if err != nil {
		return err
	}
	s.Start()
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// natsSession publishes through NATS' own client.
type natsSession struct {
	o           *loadOptions
	conn        *nats.Conn
	js          jetstream.JetStream
	correlation uint64
	open        int
	mail        mailbox
	failure
}

// dialNATS makes the stream if it is not there, and opens a session with the member that leads it.
func dialNATS(ctx context.Context, o *loadOptions) (session, error) {
	var leader string
	err := until(ctx, "no member leads the stream", func(ctx context.Context) (err error) {
		leader, err = natsLeader(ctx, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	s := &natsSession{o: o}
	for i, m := range o.members {
		if natsName(i+1) == leader {
			s.conn, err = nats.Connect("nats://"+m.clients(), nats.DontRandomize(), nats.IgnoreDiscoveredServers())
		}
	}
	if err != nil || s.conn == nil {
		return nil, errors.Join(fmt.Errorf("connect to the leader %q of the stream", leader), err)
	}
	s.js, err = jetstream.New(s.conn, jetstream.WithPublishAsyncMaxPending(2*o.window),
		jetstream.WithPublishAsyncTimeout(leaderLimit),
		jetstream.WithPublishAsyncAckHandler(func(_ jetstream.JetStream, m *nats.Msg, ack *jetstream.PubAck) {
			s.mail.post(answer{correlation: natsCorrelation(m), position: ack.Sequence})
		}),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg, err error) {
			s.mail.post(answer{correlation: natsCorrelation(m), err: err})
		}))
	return s, err
}

// natsLeader makes the stream, and says who leads it.
func natsLeader(ctx context.Context, o *loadOptions) (string, error) {
	c, err := nats.Connect("nats://"+o.members[0].clients(), nats.Timeout(time.Second))
	if err != nil {
		return "", err
	}
	defer c.Close()
	js, err := jetstream.New(c)
	if err != nil {
		return "", err
	}
	config := jetstream.StreamConfig{
		Name: natsStream, Subjects: []string{natsSubject}, Replicas: len(o.members), Storage: jetstream.MemoryStorage,
		MaxMsgs: 1 << 20, Discard: jetstream.DiscardOld,
	}
	if o.fsync {
		config.Storage = jetstream.FileStorage
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	stream, err := js.CreateOrUpdateStream(ctx, config)
	if err != nil {
		return "", err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return "", err
	}
	if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != len(o.members)-1 {
		return "", errors.New("the stream has no leader")
	}
	for _, r := range info.Cluster.Replicas {
		if !r.Current || r.Offline {
			return "", fmt.Errorf("replica %s of the stream is not there yet", r.Name)
		}
	}
	return info.Cluster.Leader, nil
}

// natsCorrelation is what the session wrote into a message's first bytes.
func natsCorrelation(m *nats.Msg) uint64 { return binary.LittleEndian.Uint64(m.Data) }

// Send implements bench.Session. A message has at least the 8 bytes of its correlation.
func (s *natsSession) Send(_ int64, _ uint16, _ wire.Levels, payload []byte) (uint64, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.open >= s.o.window {
		return 0, client.ErrWindow
	}
	s.correlation++
	data := make([]byte, max(8, len(payload)))
	copy(data, payload)
	binary.LittleEndian.PutUint64(data, s.correlation)
	if _, err := s.js.PublishMsgAsync(&nats.Msg{Subject: natsSubject, Data: data}); err != nil {
		return 0, err
	}
	s.open++
	return s.correlation, nil
}

// Poll implements bench.Session.
func (s *natsSession) Poll(int64) int {
	n, err := s.mail.drain(s.o.answer)
	s.open -= n
	if err != nil {
		s.set(err)
	}
	return n
}

// Err is why the session came to an end before its time.
func (s *natsSession) Err() error { return s.err }

// Close closes the connection.
func (s *natsSession) Close() error {
	s.conn.Close()
	return nil
}
